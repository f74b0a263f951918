"""Windows over a map with pads read what they would read over the map padded beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.kernels.windows import _fold, _largest, _pick_place, window_sum
from strideflax.window import Window

# size, window, stride, dilation, pads of one axis: windows inside, at one rim, at both, over all of the map, wholly outside it
AXES = [
    (9, 3, 2, 1, (1, 1)),
    (8, 3, 2, 1, (1, 0)),
    (8, 2, 3, 1, (0, 2)),
    (7, 3, 1, 2, (2, 3)),
    (2, 5, 1, 1, (2, 2)),
    (1, 3, 2, 1, (1, 1)),
    (4, 2, 3, 1, (5, 7)),
    (6, 2, 2, 1, (0, 0)),
]


def both(first, second, fill):
    """Return a map, its windows with pads, the map padded with ``fill`` and the same windows over that."""
    size, window, stride, dilation, pads = zip(first, second, strict=True)
    x = (
        np.random.default_rng(0).integers(-4, 5, (2, *size, 3)).astype(np.float32)
    )  # small whole numbers: sums are exact
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    described = Window(size=window, stride=stride, pads=pads, dilation=dilation)
    return x, described, padded, described.without_pads()


@pytest.mark.parametrize(("first", "second"), list(zip(AXES, AXES[1:] + AXES[:1], strict=True)))
class TestPads:
    def test_a_fold(self, first, second):
        x, windows, padded, whole = both(first, second, -np.inf)
        expected = _fold(padded, whole, jnp.maximum, 0.0)
        np.testing.assert_array_equal(_fold(x, windows, jnp.maximum, -np.inf), expected)

    def test_a_sum_and_its_gradient(self, first, second):
        x, windows, padded, whole = both(first, second, 0)
        weights = tuple(tuple(float(t + 1) for t in range(k)) for k in windows.size)
        expected, transpose = jax.vjp(lambda x: window_sum(x, whole, weights), padded)
        found, gather = jax.vjp(lambda x: window_sum(x, windows, weights), x)
        np.testing.assert_array_equal(found, expected)
        (low, _), (left, _) = windows.pads
        inner = transpose(expected)[0][:, low : low + x.shape[1], left : left + x.shape[2]]
        np.testing.assert_array_equal(gather(expected)[0], inner)

    def test_a_maximum_s_place_and_its_gradient(self, first, second):
        x, windows, padded, whole = both(first, second, -np.inf)
        best, place = _largest(x, windows)
        expected_best, expected_place = _largest(padded, whole)
        np.testing.assert_array_equal(best, expected_best)
        holds_pixels = np.isfinite(best)  # in a window of padding alone no place is right
        np.testing.assert_array_equal(place[holds_pixels], expected_place[holds_pixels])
        g = np.where(holds_pixels, np.arange(best.size, dtype=np.float32).reshape(best.shape), 0)
        gathered = jax.vjp(lambda x: _pick_place(x, place, map_size=x.shape[1:-1], window=windows), x)[1](g)[0]
        (low, _), (left, _) = windows.pads
        whole_gradient = jax.vjp(lambda x: _pick_place(x, place, map_size=x.shape[1:-1], window=whole), padded)[1](g)[0]
        np.testing.assert_array_equal(gathered, whole_gradient[:, low : low + x.shape[1], left : left + x.shape[2]])
