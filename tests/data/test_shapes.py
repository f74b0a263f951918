import hashlib

import numpy as np
import pytest

from strideflax.data.shapes import CLASSES, SHAPES, TEXTURES, draw_shapes


@pytest.fixture(scope="module")
def drawn():
    return draw_shapes(4000, seed=0)


def test_images_labels_and_centres(drawn):
    images, labels, centres = drawn
    assert (images.shape, images.dtype) == ((4000, 32, 32, 3), np.uint8)
    assert (labels.dtype, centres.dtype) == (np.int32, np.float32)
    assert labels.tolist() == list(range(10)) * 400


def test_a_seed_gives_the_same_bits_everywhere(drawn):
    # Written down once, equal on every machine and with every NumPy.
    assert hashlib.sha256(drawn[0].tobytes()).hexdigest()[:12] == "52aa68d9d387"
    assert hashlib.sha256(drawn[2].astype("<f4").tobytes()).hexdigest()[:12] == "e2b5b277aff7"


def test_a_shorter_draw_is_the_beginning_of_a_longer_one(drawn):
    for short, long in zip(draw_shapes(37, seed=0), drawn, strict=True):
        np.testing.assert_array_equal(short, long[:37])


def test_another_seed_gives_other_images(drawn):
    images, _, _ = draw_shapes(1000, seed=1)
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in drawn[0]}


def test_the_object_is_where_the_centre_says(drawn):
    """Its texture is the only fine detail: the energy of neighbours' differences has its middle there."""
    images, labels, centres = drawn
    discs = labels <= 3  # discs and squares, which fill their extent
    values = images[discs].astype(np.float64).mean(-1)
    detail = np.zeros_like(values)
    detail[:, 1:-1, 1:-1] = np.maximum(
        abs(2 * values[:, 1:-1, 1:-1] - values[:, :-2, 1:-1] - values[:, 2:, 1:-1]),
        abs(2 * values[:, 1:-1, 1:-1] - values[:, 1:-1, :-2] - values[:, 1:-1, 2:]),
    )
    bright = detail > 0.5 * detail.max((1, 2), keepdims=True)
    grid = np.arange(32)
    found = np.stack(
        [
            (bright * grid[:, None]).sum((1, 2)) / bright.sum((1, 2)),
            (bright * grid[None, :]).sum((1, 2)) / bright.sum((1, 2)),
        ],
        axis=1,
    )
    assert np.median(abs(found - centres[discs])) < 1.0
    assert centres.min() >= 9 - 1e-4
    assert centres.max() <= 22 + 1e-4


def test_pairs_of_classes_differ_in_shape_alone_or_texture_alone():
    parts = [tuple(name.split(", ")) for name in CLASSES]
    assert len(set(parts)) == 10
    shapes, textures = zip(*parts, strict=True)
    assert set(shapes) == set(SHAPES)
    assert set(textures) == set(TEXTURES)
    assert all(shapes.count(shape) == 2 for shape in shapes)
    assert sum(textures.count(texture) == 2 for texture in textures) == 8


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_are_fine_and_their_own_mirror_image(name):
    grid = np.arange(12)
    pattern = np.broadcast_to(TEXTURES[name](grid[:, None], grid[None, :]), (12, 12))
    repeats = [(r, c) for r in (2, 3) for c in (2, 3) if (np.roll(pattern, (r, c), (0, 1)) == pattern).all()]
    assert repeats
    assert 0.2 < pattern.mean() < 0.6
    # A flip in training must not turn one class into another: mirrored, it is the same texture at another phase.
    assert any((np.roll(pattern[:, ::-1], shift, 1) == pattern).all() for shift in range(3))


def test_a_linear_model_stays_under_half(drawn):
    """Ridge regression on pixels, its strength chosen on the test images: still far below what a small net gets."""
    images, labels, _ = (part[:2500] for part in drawn)
    test_images, test_labels, _ = draw_shapes(1000, seed=1)
    x, test_x = (part.reshape(len(part), -1).astype(np.float32) / 127.5 - 1 for part in (images, test_images))
    targets = np.eye(10, dtype=np.float32)[labels] - 0.1  # classes in balance: no constant term needed
    gram = x @ x.T  # the dual form, smaller where images are fewer than pixels
    scores = [
        test_x @ (x.T @ np.linalg.solve(gram + strength * np.eye(len(x), dtype=np.float32), targets))
        for strength in (100, 1000)
    ]
    accuracy = max((score.argmax(1) == test_labels).mean() for score in scores)
    assert 0.12 < accuracy < 0.4
