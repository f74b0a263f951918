"""What downsampling operators do to single-channel test images, in comparable units.

Every operator runs with circular borders, so that no border effect is mistaken for its doing, and its output is divided
by what it makes of a constant image: some (the Haar low band, the root of squares) brighten everything, which is no
matter here.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import ArrayLike, NDArray

from strideflax.measuring.aliasing import alias_energies, shift_energies
from strideflax.operators.base import Downsample
from strideflax.operators.table import DOWNSAMPLERS

TOLERANCE = 1e-5  # of values of about 1, for rounding in float32


def settled_operators(stride: int = 2) -> tuple[dict[str, Downsample], tuple[str, ...]]:
    """Build each operator of the table for one channel.

    Args:
        stride: of all.

    Returns:
        Those whose initial state has an effect of its own, by name; and the names of the others, which do nothing in
        particular before they are trained: two random starts give them different outputs.
    """
    probe = np.random.default_rng(0).random((8, 32, 32), np.float32)
    settled, random = {}, []
    for name, entry in DOWNSAMPLERS.items():
        one, other = (entry.main(1, stride=stride, padding="CIRCULAR", rngs=nnx.Rngs(seed)) for seed in (0, 1))
        if one.convolves or not np.allclose(respond(one, probe), respond(other, probe), atol=TOLERANCE):
            random.append(name)
        else:
            settled[name] = one
    return settled, tuple(random)


def distinct(operators: Mapping[str, Downsample]) -> dict[str, Downsample]:
    """Merge operators that do the same (up to a constant factor), under their names joined by " = "."""
    probe = np.random.default_rng(1).random((2, 32, 32), np.float32)
    groups: list[tuple[list[str], Downsample, NDArray]] = []
    for name, operator in operators.items():
        output = respond(operator, probe)
        for names, _, known in groups:
            if known.shape == output.shape and np.allclose(known, output, atol=TOLERANCE):
                names.append(name)
                break
        else:
            groups.append(([name], operator, output))
    return {" = ".join(names): operator for names, operator, _ in groups}


def respond(operator: Downsample, images: ArrayLike) -> NDArray:
    """Return the outputs ``[images, height / s, width / s, channels]`` for images ``[images, height, width]``.

    They are scaled so that the largest channel of a constant image keeps that constant.
    """
    output, constant = _outputs(operator, images)
    return output / constant.max()


def picture(operator: Downsample, image: ArrayLike, columns: int | None = None) -> NDArray:
    """Return the output for one image ``[height, width]`` as one picture; several channels become tiles.

    ``columns`` tiles stand in a row; None makes about a square. Channels that are 0 on a constant image, such as the
    high bands of a wavelet, are drawn around middle grey.
    """
    output, constant = _outputs(operator, np.asarray(image)[None])
    tiles = output[0] / constant.max() + 0.5 * (np.abs(constant) < TOLERANCE * constant.max())
    height, width, channels = tiles.shape
    across = columns or max(1, int(channels**0.5))
    return tiles.reshape(height, width, -1, across).transpose(2, 0, 3, 1).reshape(-1, across * width)


def profile(operator: Downsample, image: ArrayLike) -> NDArray:
    """Return the output's middle row for one image, ``[width / s]``; of several channels the vector's length."""
    output, constant = _outputs(operator, np.asarray(image)[None])
    row = output[0, output.shape[1] // 2]
    if row.shape[-1] == 1:
        return row[:, 0] / constant[0]
    return np.linalg.norm(row, axis=-1) / np.linalg.norm(constant)


def sample_columns(operator: Downsample, image: ArrayLike) -> NDArray:
    """Return on which columns of ``image`` the outputs lie, ``[width / s]``, by the phase reported or chosen for it.

    A mixture of all phases is taken to lie in the middle of its block.
    """
    height, width = np.shape(image)
    reported, stride = operator.phase((height, width)), operator.stride[1]
    steps = stride * np.arange(-(-width // stride))
    if reported is not None:
        return reported[1] + steps
    chosen = operator.select(_channel(image)[None])
    return steps + ((stride - 1) / 2 if chosen is None else int(chosen[0]) % stride)


def crossing(values: NDArray, columns: NDArray | None = None, *, rising: bool = True) -> float:
    """Return where ``values`` first pass 1/2, by linear interpolation between neighbours.

    Args:
        values: ``[n]``.
        columns: where they lie, increasing; 0, 1, 2, ... if None.
        rising: pass upwards, or else downwards.

    Raises:
        ValueError: they never do.
    """
    signed = (values - 0.5 if rising else 0.5 - values) + 0.1 * TOLERANCE  # rounding must not hide an exact 1/2
    passes = np.flatnonzero((signed[:-1] < 0) & (signed[1:] >= 0))
    if not len(passes):
        raise ValueError(f"values do not {'rise' if rising else 'fall'} through 1/2, got {values.tolist()}")
    i = passes[0]
    index = i + signed[i] / (signed[i] - signed[i + 1])
    return float(index if columns is None else np.interp(index, np.arange(len(values)), columns))


def edge_phases(operator: Downsample, image: ArrayLike, rising_at: float, falling_at: float) -> tuple[float, float]:
    """Return the phases that a rising and a falling edge at known columns of ``image`` betray, in pixels.

    If output ``q`` (a fraction is interpolated) shows the edge, output 0 lies ``q`` strides before it. An operator that
    favours light pixels shows a rising edge too early and a falling one too late; its phase is their mean.
    """
    values, stride = profile(operator, image), operator.stride[1]
    return rising_at - stride * crossing(values), falling_at - stride * crossing(values, rising=False)


def edge_steps(operator: Downsample, images: Sequence[ArrayLike]) -> NDArray:
    """Return how far, in pixels of the input, the rising edge in the output moves from each image to the next."""
    return np.diff([crossing(profile(operator, image), sample_columns(operator, image)) for image in images])


def contrast_kept(operator: Downsample, image: ArrayLike, cycles: int) -> float:
    """Return the share of contrast that a sine of ``cycles`` along the rows keeps; of several channels the r.m.s."""
    image = np.asarray(image)
    output, constant = _outputs(operator, image[None])
    before = _amplitude(image[None, ..., None], cycles)[0]
    return float(np.linalg.norm(_amplitude(output, cycles)) / np.linalg.norm(constant) / before)


def _amplitude(images: NDArray, cycles: int) -> NDArray:
    """Return each channel's amplitude at ``cycles`` along the rows, mean over images and rows."""
    return np.abs(np.fft.rfft(images, axis=2, norm="forward")[:, :, cycles]).mean((0, 1))


def power_spectrum(operator: Downsample, images: ArrayLike) -> NDArray:
    """Return the mean power of the outputs for ``[images, height, width]`` at each frequency, lowest in the middle.

    Powers of several channels add up.
    """
    output, constant = _outputs(operator, images)
    power = np.abs(np.fft.fft2(output, axes=(1, 2))) ** 2
    return np.fft.fftshift(power.sum(-1).mean(0)) / (constant**2).sum()


def alias_share(operator: Downsample, images: ArrayLike) -> float | None:
    """Return which share of the output's contrast energy is folded from frequencies too high for it, 0 to 1.

    The mean brightness of each image is left out. None for an operator that is no filter followed by subsampling. See
    `strideflax.measuring.aliasing.alias_energies`.
    """
    x = _channel(images)
    try:
        dense = _dense(*nnx.split(operator), x)
    except TypeError:
        return None
    varying = dense - dense.mean((1, 2), keepdims=True)
    aliased, whole = alias_energies(varying, operator.stride, operator.select(x))
    return float(aliased / whole)


def shift_error(operator: Downsample, images: ArrayLike) -> float:
    """Return by how much of its contrast the output is wrong when the image moves by one pixel; 0 if it moves by 1 / s.

    Root mean square over both axes. See `strideflax.measuring.aliasing.shift_energies`.
    """
    compiled = _Compiled(operator)
    energies = shift_energies(cast(Downsample, compiled), _channel(images))
    y = respond(operator, images)
    share = ((y - y.mean((1, 2), keepdims=True)) ** 2).sum() / (y**2).sum()
    return float(energies.one_pixel / energies.output / share) ** 0.5


class _Compiled:
    """What the measures ask of an operator, compiled once for each size of image and not for each number of images."""

    def __init__(self, operator: Downsample):
        self.stride, self.select = operator.stride, operator.select
        self.split = nnx.split(operator)

    def __call__(self, x: ArrayLike, *, index: Array | None = None) -> Array:
        return jnp.asarray(np.concatenate([_run(*self.split, image[None]) for image in np.asarray(x)]))


def _outputs(operator: Downsample, images: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return the outputs, and what each channel is for a constant image of ones."""
    x = np.asarray(images, np.float32)[..., None]
    outputs = np.asarray(_Compiled(operator)(np.concatenate([x, np.ones_like(x[:1])])))
    return outputs[:-1], outputs[-1].mean((0, 1))


@partial(jax.jit, static_argnums=0)
def _run(graph: nnx.GraphDef, state: nnx.State, x: Array) -> Array:
    return nnx.merge(graph, state)(x)


@partial(jax.jit, static_argnums=0)
def _dense(graph: nnx.GraphDef, state: nnx.State, x: Array) -> Array:
    return nnx.merge(graph, state).dense(x)


def _channel(images: ArrayLike) -> Array:
    return jnp.asarray(images, jnp.float32)[..., None]
