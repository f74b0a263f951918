"""The way back of space-to-depth: channels become pixels again."""

import math
from collections.abc import Sequence

from jax import Array

from strideflax.operators.rearrange import depth_to_space
from strideflax.operators.upsample import Upsample


class DepthToSpace(Upsample):
    """Lay the channels out as blocks of pixels: the inverse of `SpaceToDepth`, ``out_features = in_features / (s_h s_w)``.

    ``y[s i + p, c] = x[i, p C + c]``. Behind a convolution it is the sub-pixel convolution of Shi et al. 2016
    (arXiv:1609.05158). Nothing is computed, and ``padding`` changes nothing. Phase: the block's centre, (s - 1) / 2.

    When it helps: behind `space_to_depth`, or to let a convolution on the small map draw the large one.
    """

    def _features_from(self, in_features: int) -> int:
        """Return ``in_features`` over the number of pixels in a block."""
        pixels = math.prod(self.stride)
        if in_features % pixels:
            raise ValueError(f"{type(self).__name__} takes a multiple of {pixels} channels, got {in_features}")
        return in_features // pixels

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, pixels * channels]`` to its pixels."""
        return depth_to_space(x, self.stride)[:, *(slice(n) for n in size)]

    def macs(self, map_size: Sequence[int]) -> int:
        """Return 0: numbers are only moved."""
        return 0
