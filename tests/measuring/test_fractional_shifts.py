import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.measuring import fractional_shift_consistency, shift_by_fraction


def smooth_images(count=4, height=9, width=8, seed=0):
    """Float images of a mean and of waves under the Nyquist frequency, and what they are anywhere between pixels."""
    random = np.random.default_rng(seed)
    waves = [(u, v, random.normal(size=(count, 3)), random.uniform(0, 6)) for u in (0, 1, 3) for v in (-2, 0, 1)]

    def at(down, right):
        rows, columns = np.indices((height, width))
        total = np.zeros((count, height, width, 3))
        for u, v, sizes, phase in waves:
            angle = 2 * np.pi * (u * (rows - down) / height + v * (columns - right) / width) + phase
            total += sizes[:, None, None, :] * np.cos(angle)[None, :, :, None]
        return total

    return at


def test_a_shift_is_the_image_sampled_elsewhere():
    at = smooth_images()
    for down, right in ((0.5, 0), (0, 1 / 3), (0.25, 0.25), (-1.7, 2.6)):
        np.testing.assert_allclose(shift_by_fraction(at(0, 0), down, right), at(down, right), atol=1e-12)


def test_bytes_are_rounded_and_clipped():
    x = np.random.default_rng(0).integers(0, 256, (2, 7, 8, 3), np.uint8)
    moved = shift_by_fraction(x, 1, 0)
    assert moved.dtype == np.uint8
    assert np.array_equal(moved, np.roll(x, 1, 1))
    # A white pixel among black ones rings below 0 and an edge above 255: both are cut, not wrapped around.
    dot = np.zeros((1, 9, 9, 1), np.uint8)
    dot[0, 4, 4] = 255
    places = np.arange(9) - 4 - 0.5
    sinc = np.sin(np.pi * places) / (9 * np.sin(np.pi * places / 9))  # of nine points: the Dirichlet kernel
    expected = np.clip(np.rint(255 * sinc), 0, 255)
    assert np.array_equal(shift_by_fraction(dot, 0.5, 0)[0, :, 4, 0], expected)
    assert shift_by_fraction(255 - dot, 0.5, 0).max() == 255


def brightness_net(images):
    """Blind to all circular shifts of float images but for rounding: the class is the tens digit of the mean."""
    tens = jnp.round(images.mean((1, 2, 3)) / 10)
    return -jnp.abs(tens[:, None] - jnp.arange(26)[None, :]).astype(jnp.float32)


def corner_net(images):
    """Class 1 where the first pixel is above its right neighbour."""
    above = images[:, 0, 0, 0] > images[:, 0, 1, 0]
    return jnp.stack([~above, above], 1).astype(jnp.float32)


def test_a_net_blind_to_shifts_scores_exactly_1():
    images = smooth_images()(0, 0).astype(np.float32) + np.array([33.0, 81, 152, 199], np.float32)[:, None, None, None]
    result = fractional_shift_consistency(brightness_net, images, np.array([3, 8, 15, 0]))
    assert result["consistency"] == {"1/2": 1.0, "1/3": 1.0, "1/4": 1.0}
    assert result["consistency_given_correct"] == {"1/2": 1.0, "1/3": 1.0, "1/4": 1.0}
    assert result["unshifted_accuracy"] == 0.75


def test_consistency_is_the_share_of_shifts_that_keep_the_class():
    at, labels, reports = smooth_images(count=40, seed=1), np.arange(40) % 2, []
    result = fractional_shift_consistency(
        corner_net, at(0, 0), labels, parts=(2, 5), batch_size=7, progress=lambda *report: reports.append(report)
    )
    unshifted = at(0, 0)[:, 0, 0, 0] > at(0, 0)[:, 0, 1, 0]
    for part in (2, 5):
        same = np.zeros(40)
        for down, right in ((1 / part, 0), (0, 1 / part), (1 / part, 1 / part)):
            moved = at(down, right)
            same += (moved[:, 0, 0, 0] > moved[:, 0, 1, 0]) == unshifted
        assert result["consistency"][f"1/{part}"] == pytest.approx(same.mean() / 3, abs=1e-12)
        assert result["consistency_given_correct"][f"1/{part}"] == pytest.approx(
            same[unshifted == labels].mean() / 3, abs=1e-12
        )
        assert 0.3 < same.mean() / 3 < 1
    assert result["unshifted_accuracy"] == (unshifted == labels).mean()
    assert reports[-1] == (6, 6)


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="logits must be finite"):
        fractional_shift_consistency(lambda x: corner_net(x) * jnp.inf, smooth_images()(0, 0), parts=(2,))


def test_without_a_right_image_the_conditional_number_is_none():
    result = fractional_shift_consistency(corner_net, smooth_images()(0, 0), np.full(4, 7), parts=(2,))
    assert result["consistency_given_correct"] == {"1/2": None}


@pytest.mark.parametrize(
    ("images", "parts", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.int32), (2,), "images must be uint8 or float, got int32"),
        (np.zeros((2, 4, 4), np.uint8), (2,), r"images must have the shape \[n, height, width, channels\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), (1, 2), "parts must be ints >= 2"),
    ],
)
def test_wrong_arguments_are_named(images, parts, message):
    with pytest.raises(ValueError, match=message):
        fractional_shift_consistency(corner_net, images, np.zeros(2, int), parts=parts)
