"""From the feature maps on the way down to a class for each pixel: where maps lie on the image, and the U-Net's way up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.model.config import ModelConfig
from strideflax.operators.blur_up import BlurUpsample
from strideflax.operators.interpolate import LinearUpsample, linear_upsample
from strideflax.operators.polyphase_up import PolyphaseUpsample
from strideflax.operators.receptive_field import Field
from strideflax.operators.table import operator_entry, upsampler
from strideflax.operators.upsample import Upsample

Fields: TypeAlias = tuple[Field, ...]  # of a map, per axis: where its pixels lie on the image, and what they see


@dataclass(frozen=True)
class Level:
    """A resolution on the way down.

    Attributes:
        map: number of the last map that has it, see `MiniResNet.maps`.
        features: that map's channels.
        first: number of the first map that has it: an adaptive operator right before chose its phase.
    """

    map: int
    features: int
    first: int


def steps_and_phase(coarse: Fields, fine: Fields) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return how many ``fine`` pixels lie from one ``coarse`` pixel to the next, and on which of them the first one lies.

    Without the phase a map would come back moved: a strided convolution keeps the first pixel of each cell, and plain resizing
    takes it for the middle. A place outside of the first cell counts as the nearest one in it.
    """
    steps, phases = [], []
    for low, high in zip(coarse, fine, strict=True):
        step = low.jump // high.jump
        steps.append(step)
        phases.append(min(max((low.start - high.start) / high.jump, 0.0), step - 1.0))
    return tuple(steps), tuple(phases)


def interpolate_to_image(logits: Array, fields: Fields, size: Sequence[int]) -> Array:
    """Interpolate ``[batch, rows, columns, classes]``, whose pixels lie as ``fields`` say, to an image of ``size``."""
    steps, phase = steps_and_phase(fields, (Field(), Field()))
    if max(steps) == 1:
        return logits
    return linear_upsample(logits, steps, size=size, phase=phase)


class UpStep(nnx.Module):
    """A step of the U-Net: enlarge, put the map of that resolution on the way down beside it, and convolve.

    Args:
        up: enlarges the coarser map.
        fuse: takes both maps' channels.
    """

    def __init__(self, up: Upsample, fuse: nnx.Module):
        self.up = up
        self.fuse = fuse

    def __call__(self, x: Array, skip: Array, *, index: Array | None, train: bool) -> Array:
        """Map the coarse ``x`` and the fine ``skip``, ``[batch, height, width, channels]``, to a map like ``skip``.

        ``index`` is what an adaptive operator chose on the way down, see `Downsample.select`.
        """
        x = self.up(x, size=skip.shape[1:3], index=index).astype(skip.dtype)
        y, _ = self.fuse(jnp.concatenate([x, skip], -1), train=train, key=None)
        return y


def make_upsampler(
    config: ModelConfig, coarse: Level, fine: Level, fields: tuple[Fields, Fields], rngs: nnx.Rngs
) -> Upsample:
    """Return what enlarges the map of the level ``coarse`` to that of ``fine``; ``fields`` are those of both maps.

    Its window is chosen so that the map is not moved: an odd one where a coarse pixel lies on a fine one, else an even one.
    """
    operator = upsampler(config.upsample or operator_entry(config.downsample).counterpart)
    steps, phase = steps_and_phase(*fields)
    if issubclass(operator, LinearUpsample):
        return operator(coarse.features, stride=steps, phase=phase, padding=config.padding)
    if issubclass(operator, PolyphaseUpsample):
        phase = (0.0,) * len(phase)  # its filter stands on the phase that was kept
    window = None
    if operator.default_window is not None:
        odd = 1 if issubclass(operator, BlurUpsample) else -1  # 5 taps are the usual blur, 3 x 3 the usual kernel
        window = tuple(_taps(step, place, odd) for step, place in zip(steps, phase, strict=True))
    out_features = fine.features if operator.convolves else None
    return operator(coarse.features, out_features, stride=steps, window=window, padding=config.padding, rngs=rngs)


def _taps(step: int, phase: float, odd: int) -> int:
    """Return ``2 * step`` taps, ``odd`` more where the phase asks for an odd number, and one where nothing is enlarged."""
    if step == 1:
        return 1
    return 2 * step + odd if phase == int(phase) else 2 * step
