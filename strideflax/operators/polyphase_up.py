"""The way back of adaptive polyphase sampling: every pixel returns to the phase that it was kept from."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from strideflax.kernels import window_sum
from strideflax.operators.blur import binomial_filter
from strideflax.operators.geometry import PerAxis, centred, make_window, per_axis, spatial_size
from strideflax.operators.polyphase import checked_index
from strideflax.operators.rearrange import depth_to_space
from strideflax.operators.upsample import Upsample, fine_size


def polyphase_upsample(x: Array, index: Array, stride: PerAxis = 2, *, size: Sequence[int] | None = None) -> Array:
    """Put each image's pixels back at its own phase and zeros between them: the transpose of `polyphase_sample`.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        index: integers ``[batch]``, the phase that was kept, in ``0 ... prod(stride) - 1``, or weights
            ``[batch, prod(stride)]``, floating point, with which phases were mixed: each gets its share back.
        stride: an int or one per axis.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``. What would
            lie beyond it is left out: on the way down it had wrapped around.

    Returns:
        ``[batch, *size, channels]`` in the type of ``x``.

    Raises:
        ValueError: a stride, size, rank or index that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    sizes = fine_size(x.shape[1:-1], strides, size)
    count = math.prod(strides)
    index = checked_index(index, x.shape[0], count)
    per_sample = (-1, *(1,) * (x.ndim - 1))
    phases = []
    for p in range(count):
        if jnp.issubdtype(index.dtype, jnp.floating):
            phases.append(x * index[:, p].astype(x.dtype).reshape(per_sample))
        else:
            phases.append(jnp.where((index == p).reshape(per_sample), x, jnp.zeros((), x.dtype)))
    whole = depth_to_space(jnp.concatenate(phases, axis=-1), strides)
    return whole[:, *(slice(n) for n in sizes)]


class PolyphaseUpsample(Upsample):
    """Put pixels back at the phase that `AdaptivePolyphase` or `LearnedPolyphase` kept, with zeros between them.

    ``y[s i + p] = x[i]`` with ``p`` the ``index`` that ``select`` returned on the way down, so that a circular shift of the
    image moves the map that comes back by as many pixels: with ``CIRCULAR`` convolutions and sizes that the strides divide, a
    U-Net is exactly equivariant to shifts but for rounding, trained or not. Weights in place of an index, as LPS has them in
    training, give each phase its share. With a ``window`` of more than one tap the zeros are filled by a binomial filter, at a
    gain that keeps the mean; three taps at stride 2 interpolate linearly from the kept phase. Phase: None, it depends on the
    image. Sources: Chaman and Dokmanic 2021 (arXiv:2105.04040); Rojas-Gomez et al. 2022 (arXiv:2210.08001).

    When it helps: in a decoder behind `aps` or `lps`, whose shifts no other upsampling can follow.
    """

    default_window = "1: no filter"

    def _usual_window(self) -> tuple[int, ...]:
        """Return ones: no filter."""
        return (1,) * len(self.stride)

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its pixels among zeros, filtered if there is a filter."""
        if index is None:
            raise ValueError(
                f"{type(self).__name__} puts pixels back where they were kept: it needs the index that select returned on "
                "the way down, got None"
            )
        y = polyphase_upsample(x, index, self.stride, size=size)
        if max(self.window) == 1:
            return y
        gains = [s if k > 1 else 1 for k, s in zip(self.window, self.stride, strict=True)]
        weights = tuple(tuple(map(float, g * binomial_filter(k))) for k, g in zip(self.window, gains, strict=True))
        window = make_window(size, self.window, padding=centred(self.padding, self.window))
        return window_sum(y.astype(jnp.promote_types(y.dtype, jnp.float32)), window, weights).astype(y.dtype)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return the filter's multiply-adds, one axis after the other; without one numbers are only moved."""
        if max(self.window) == 1:
            return 0
        fine = math.prod(n * s for n, s in zip(map_size, self.stride, strict=True))
        return fine * sum(self.window) * self.in_features

    def phase(self) -> None:
        """Return None: it depends on the image."""
        return None
