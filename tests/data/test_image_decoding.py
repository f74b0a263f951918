"""The rule that brings an image file to pixels, format by format, on files that Pillow wrote."""

import io

import numpy as np
import pytest
from PIL import Image

from strideflax.data.image_decoding import (
    UnreadableImageError,
    decode_image,
    decode_rectangle,
    image_kind,
    perceptual_hash,
)

COLOUR = (200, 80, 40)
LUMA = round(0.299 * 200 + 0.587 * 80 + 0.114 * 40)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def flat(mode: str, colour=COLOUR, size=(16, 16)) -> Image.Image:
    image = Image.new("RGB", size, colour)
    return image.quantize(2) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0), ("BMP", {}, 0), ("PPM", {}, 0), ("TIFF", {}, 0), ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 3), ("WEBP", {"quality": 95}, 3),
    ],
)  # fmt: skip
def test_every_format(kind, options, tolerance):
    image = decode_image(encoded(flat("RGB"), kind, **options), 16, 3)
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), np.broadcast_to(COLOUR, image.shape), atol=tolerance)


def test_pixels_of_the_wanted_size_are_not_touched(random):
    pixels = random.integers(0, 256, (12, 12, 3), np.uint8)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels)), 12, 3), pixels)


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "L", "1", "LA", "I;16", "I"])
def test_every_mode_becomes_one_or_three_channels(mode):
    if mode in ("I;16", "I"):
        sixteen = np.full((16, 16), LUMA * 257, np.uint16)
        image = Image.fromarray(sixteen if mode == "I;16" else sixteen.astype(np.int32))
    else:
        image = flat(mode)
    kind = "TIFF" if mode in ("CMYK", "I") else "PNG"
    grey = mode in ("L", "LA", "I;16", "I")
    for channels in (1, 3):
        expected = LUMA if grey or channels == 1 else np.array(COLOUR)
        if mode == "1":
            continue  # dithered
        got = decode_image(encoded(image, kind), 16, channels).astype(int)
        np.testing.assert_allclose(got, np.broadcast_to(expected, got.shape), atol=1)
    assert image_kind(encoded(image, kind)).is_grey == (grey or mode == "1")


def test_two_colours_of_one_bit():
    pixels = np.indices((8, 8)).sum(0) % 2 == 0
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels)), 8, 1)[..., 0], 255 * pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    assert (decode_image(encoded(image), 8, 3) == 255).all()


def test_half_transparent_pixels_are_mixed_with_white():
    data = encoded(Image.new("RGBA", (8, 8), (100, 0, 0, 128)))
    np.testing.assert_allclose(decode_image(data, 8, 3)[0, 0], (255 - 155 * 128 / 255, 127, 127), atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_rotation_is_carried_out(orientation, random):
    """Each orientation's pixels, as its camera stores them, decode to the same upright image (EXIF 2.3, tag 274)."""
    upright = random.integers(0, 256, (10, 10, 3), np.uint8)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(decode_image(data, 10, 3), upright)


def test_the_central_square_is_taken():
    pixels = np.zeros((8, 20, 3), np.uint8)
    pixels[:, 6:14] = 255
    assert (decode_image(encoded(Image.fromarray(pixels)), 8, 3) == 255).all()
    assert (decode_image(encoded(Image.fromarray(pixels.transpose(1, 0, 2))), 8, 3) == 255).all()


def test_an_oblong_run_takes_the_largest_part_of_its_proportions():
    """White around a part in the middle that is twice as wide as high."""
    for rows, columns in ((40, 40), (20, 60)):
        pixels = np.full((rows, columns, 3), 255, np.uint8)
        pixels[(rows - 20) // 2 : (rows + 20) // 2, (columns - 40) // 2 : (columns + 40) // 2] = 7
        image = decode_rectangle(encoded(Image.fromarray(pixels)), 8, 16, 3)
        assert image.shape == (8, 16, 3)
        assert (image == 7).all()


def test_the_resize_is_antialiased_as_a_triangle():
    """Against the definition: each output pixel is the mean under a triangle as wide as two of its own pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 1), np.uint8)
    scale, side = 3, 8
    weights = np.zeros((side, 24))
    for i in range(side):
        centre = (i + 0.5) * scale
        weights[i] = np.maximum(0, 1 - abs(np.arange(24) + 0.5 - centre) / scale)
    weights /= weights.sum(1, keepdims=True)
    expected = weights @ pixels[..., 0].astype(float) @ weights.T
    got = decode_image(encoded(Image.fromarray(pixels[..., 0])), side, 1)[..., 0]
    np.testing.assert_allclose(got, expected, atol=1)
    stripes = np.tile(np.array([0, 255], np.uint8), (24, 12))
    small = decode_image(encoded(Image.fromarray(stripes)), side, 1)[:, 1:-1, 0].astype(int)
    assert (
        abs(small - 127.5).max() < 20
    )  # finer than the new pixels, so grey; without a filter they would be stripes again


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same():
    smooth = np.add.outer(np.arange(1024), np.arange(1024)) / 2046 * 255
    image = Image.fromarray(smooth.astype(np.uint8))
    fast, slow = (decode_image(encoded(image, kind), 32, 1).astype(int) for kind in ("JPEG", "PNG"))
    assert abs(fast - slow).max() <= 2


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_file_is_damaged(kind, share, random):
    data = encoded(Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)), kind)
    with pytest.raises(UnreadableImageError, match="damaged"):
        decode_image(data[: int(share * len(data))], 8, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "an empty file"), (b"plain text", "not a JPEG, PNG"), (b"\x89PNG\r\n\x1a\n", "not a JPEG|damaged")],
)
def test_what_is_no_image(data, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        image_kind(data)


def test_floating_point_pixels_have_no_known_range():
    with pytest.raises(UnreadableImageError, match="floating-point pixels, expected 8 or 16 bits"):
        decode_image(encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), 8, 3)


def test_perceptual_hashes_of_like_images_are_near_and_of_others_far(random):
    blocks = random.integers(0, 256, (2, 8, 8, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    noisy = np.clip(blocks[0] + random.integers(-5, 6, blocks[0].shape), 0, 255).astype(np.uint8)
    distance = [np.bitwise_count(perceptual_hash(blocks[0]) ^ perceptual_hash(other)) for other in (noisy, blocks[1])]
    assert distance[0] <= 2
    assert distance[1] > 15


@pytest.mark.parametrize(("value", "expected"), [(0x12FF, 0x12), (0x00FF, 0), (0xFF00, 255), (-5, 0), (70_000, 255)])
def test_sixteen_bits_become_the_upper_eight_and_what_is_beyond_the_nearest(value, expected):
    """A mode of 32 bits holds them too, where numbers below 0 and above 65,535 fit."""
    image = Image.fromarray(np.full((8, 8), value, np.int32))
    assert (decode_image(encoded(image, "TIFF"), 8, 1) == expected).all()
    if 0 <= value < 2**16:
        image = Image.fromarray(np.full((8, 8), value, np.uint16))
        assert (decode_image(encoded(image), 8, 3) == expected).all()


def test_a_large_jpeg_keeps_twice_the_pixels_that_it_is_resized_to(random):
    """Against all of its pixels: of noise, a fraction is off by more than rounding, and one of the side alone by twice that."""
    data = encoded(Image.fromarray(random.integers(0, 256, (256, 256), np.uint8)), "JPEG", quality=95)
    whole = encoded(Image.open(io.BytesIO(data)))
    difference = abs(decode_image(data, 64, 1).astype(int) - decode_image(whole, 64, 1)).mean()
    assert 1 < difference < 5
