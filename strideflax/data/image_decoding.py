"""From the bytes of one image file to pixels of a given size, by one rule."""

import contextlib
import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from strideflax.errors import one_line

RULE_VERSION = 1  # raised when the rule gives other pixels, so that what was decoded before is decoded again
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")  # of Pillow; PPM reads PGM, PBM and PNM too
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff")
DRAFT = 2  # a JPEG is decoded at a half, a quarter or an eighth of its pixels if this many times the side is left
HASH_SIDE = 8
GREY_MODES = ("1", "L", "LA", "La")


class UnreadableImageError(ValueError):
    """Bytes that are no image, or a damaged one; the message says which, without a name."""


class ImageKind(NamedTuple):
    """What an image's header says: its size in pixels, and whether it has colours."""

    width: int
    height: int
    is_grey: bool


def image_kind(data: bytes) -> ImageKind:
    """Return what the header of the image file ``data`` says; its pixels are not decoded.

    Raises:
        UnreadableImageError: it is no image of one of `FORMATS`.
    """
    with opened(data) as image:
        return ImageKind(*image.size, image.mode in GREY_MODES or image.mode.startswith("I"))


def decode_image(data: bytes, side: int, channels: int) -> np.ndarray:
    """Return the image file ``data`` as uint8 ``[side, side, channels]``, see `decode_rectangle`."""
    return decode_rectangle(data, side, side, channels)


def decode_rectangle(data: bytes, height: int, width: int, channels: int) -> np.ndarray:
    """Return the image file ``data`` as uint8 ``[height, width, channels]``.

    The rule, in this order: the rotation that a camera noted (EXIF) is carried out; the largest central square is taken, or
    the largest part of those proportions; 16 bits become the upper 8; transparent pixels are put on white; one channel is the
    luma of ITU-R 601; it is resized by Pillow's BILINEAR, a triangle as wide as the reduction, so that nothing aliases. A JPEG
    that is far larger is first decoded at a half, a quarter or an eighth of its pixels, which is part of its format.

    Raises:
        UnreadableImageError: it is no image of one of `FORMATS`, a damaged one, or one of floating-point pixels.
    """
    with opened(data) as image, pillow_errors():
        side = max(height, width)
        image.draft(image.mode, (DRAFT * side, DRAFT * side))  # before it is turned
        upright = ImageOps.exif_transpose(image)
        cut_width = max(min(upright.width, upright.height * width // height), 1)
        cut_height = max(min(upright.height, upright.width * height // width), 1)
        left, top = (upright.width - cut_width) // 2, (upright.height - cut_height) // 2
        cut = with_channels(upright.crop((left, top, left + cut_width, top + cut_height)), channels)
    small = cut.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(height, width, channels)


def perceptual_hash(image: np.ndarray) -> np.uint64:
    """Return the difference hash of uint8 ``[height, width, channels]``: whether each pixel of 8 x 9 is darker than the next.

    Images that look alike differ in few of its 64 bits. Source: Krawetz, "Kind of like that" (hackerfactor.com, 2013).
    """
    grey = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("L")
    small = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX))
    return np.packbits(small[:, :-1] < small[:, 1:]).view(">u8")[0].astype(np.uint64)


def opened(data: bytes) -> Image.Image:
    """Return the image file ``data`` with its header read, and no pixel.

    Raises:
        UnreadableImageError: it is no image of one of `FORMATS`.
    """
    try:
        with pillow_errors():
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        what = "an empty file" if not data else "not a JPEG, PNG, WebP, BMP, PPM or TIFF image"
        raise UnreadableImageError(what) from None


@contextlib.contextmanager
def pillow_errors() -> Iterator[None]:
    """Raise what Pillow raises for damaged bytes, which is nearly anything, as UnreadableImageError."""
    try:
        yield
    except (UnreadableImageError, Image.UnidentifiedImageError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableImageError(f"damaged: {one_line(error)[:80] or type(error).__name__}") from None


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Return ``image`` in 8 bits, grey for one channel and coloured for three, by the rule of `decode_image`.

    Raises:
        UnreadableImageError: it has floating-point pixels.
    """
    if image.mode == "F":
        raise UnreadableImageError("has floating-point pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.clip(np.asarray(image), 0, 2**16 - 1) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("L" if channels == 1 else "RGB")
