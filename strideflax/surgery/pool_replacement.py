"""An operator in the place of a pool of somebody's network."""

import math
from collections.abc import Sequence
from typing import Any

from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample
from strideflax.surgery.convolutions import window_start
from strideflax.surgery.pools import Pool, pool_of


class PoolReplacement(nnx.Module):
    """An operator in a pool's place: same strides, same sizes, and centred as near to the pool as whole pixels allow.

    It keeps the pool to know what sizes it gives on any map.

    Args:
        pool: a function or a module that `pool_of` knows.
        operators: by number of channels; a pool may be called with several.
    """

    def __init__(self, pool: Any, operators: dict[int, Downsample]):
        self.pool = pool
        self.operators = nnx.Dict({str(channels): operator for channels, operator in operators.items()})

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        """Map ``[*batch, *spatial, channels]`` to a map of the size that the pool gives.

        Raises:
            ValueError: a number of channels that no operator was built for, or arguments that change the pool's stride.
        """
        if str(x.shape[-1]) not in self.operators:
            known = ", ".join(self.operators)
            raise ValueError(f"this operator stands in for a pool of {known} channels, got {x.shape[-1]}")
        pool = pool_of(lambda x: self.pool(x, *args, **kwargs), x)
        if pool is None:
            raise ValueError(f"the pool that this operator stands in for is none on an input of shape {x.shape}")
        operator = self.operators[str(x.shape[-1])]
        if operator.stride != pool.window.stride:
            raise ValueError(
                f"this operator stands in for a pool of stride {operator.stride}, got a call at stride {pool.window.stride}"
            )
        axes = pool.window.axes
        batch = x.shape[: -1 - axes]
        y = operator(cropped(x.reshape(-1, *x.shape[-1 - axes :]), pool, operator))
        return y.reshape(*batch, *y.shape[1:])


def cropped(x: Array, pool: Pool, operator: Downsample) -> Array:
    """Return the part of ``x`` of which ``operator`` makes as many pixels as ``pool``, at the same places or near them."""
    starts = crop_starts(pool, operator, x.shape[1:-1])
    cuts = []
    for n, start, stride, count in zip(x.shape[1:-1], starts, pool.window.stride, pool.output_size, strict=True):
        cuts.append(slice(start, min(n, start + stride * count)))
    return x[:, *cuts]


def crop_starts(pool: Pool, operator: Downsample, map_size: Sequence[int]) -> tuple[int, ...]:
    """Return how many pixels to leave out at the low end of each axis.

    Raises:
        ValueError: the pool pads so much that its map is larger than ``ceil(n / s)``.
    """
    phase = operator.phase(map_size)
    starts = []
    for axis, n in enumerate(map_size):
        stride, count = pool.window.stride[axis], pool.output_size[axis]
        last = n - ((count - 1) * stride + 1)  # the latest start that leaves a pixel for every output
        if last < 0:
            raise ValueError(f"it gives {count} pixels for {n} at stride {stride}, and an operator {-(-n // stride)}")
        ahead = 0.0 if phase is None else window_start(pool.window)[axis] - phase[axis]
        starts.append(min(max(0, math.ceil(ahead - 0.5)), last))
    return tuple(starts)
