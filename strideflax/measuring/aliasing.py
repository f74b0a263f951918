"""Aliasing where a net downsamples: how much of what the subsampling keeps is folded high frequencies."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.measuring.batches import Progress
from strideflax.measuring.resampling import fourier_shift
from strideflax.measuring.sites import Arrival, operator_sites, site_arrivals
from strideflax.measuring.subject import Subject
from strideflax.operators.base import Downsample
from strideflax.operators.polyphase import polyphase_sample
from strideflax.programs import Program

IMAGES = 256
BATCH_SIZE = 64


def low_pass(x: Array, stride: tuple[int, ...]) -> Array:
    """Keep the frequencies that a grid of ``stride`` can hold: ``|u| <= 1 / s`` of the Nyquist frequency per axis.

    The bins at exactly 1 / s are kept. The Fourier transform takes the image as periodic.

    Args:
        x: ``[batch, height, width, channels]``.
        stride: per axis.
    """
    rows = _kept_frequencies(x.shape[1], stride[0])
    columns = _kept_frequencies(x.shape[2], stride[1])
    mask = (rows[:, None] & columns[None, :])[None, :, :, None]
    spectrum = jnp.fft.fft2(x, axes=(1, 2))
    return jnp.fft.ifft2(spectrum * mask.astype(spectrum.dtype), axes=(1, 2)).real


def _kept_frequencies(size: int, stride: int) -> np.ndarray:
    """Return for each bin of a Fourier transform of ``size`` points whether a grid of ``stride`` can hold it."""
    frequencies = np.abs(np.fft.fftfreq(size, 1 / size)).round()  # whole cycles per image
    return frequencies * 2 * stride <= size


def alias_energies(x: Array, stride: tuple[int, ...], phase: Array | None = None) -> tuple[Array, Array]:
    """Return ``||D x - D L x||^2`` and ``||D x||^2`` over all images and channels: D subsamples, L is `low_pass`.

    Their ratio is the alias energy. White noise has ``1 - prod_axes (2 floor(n / 2 s) + 1) / n`` on average (axes with
    s = 1 count 1), and an image of low frequencies alone has 0.

    Args:
        x: ``[batch, height, width, channels]``, at full resolution.
        stride: of D, per axis.
        phase: the one that D keeps of each image; None keeps phase 0 of all.
    """
    aliased = x - low_pass(x, stride)
    return _energy(_subsample(aliased, stride, phase)), _energy(_subsample(x, stride, phase))


def _subsample(x: Array, stride: tuple[int, ...], phase: Array | None) -> Array:
    if phase is None:
        return x[:, :: stride[0], :: stride[1]]
    return polyphase_sample(x, phase, stride)


def _energy(x: Array) -> Array:
    return (x**2).sum()


class ShiftEnergies(NamedTuple):
    """Sums over images and channels: squared errors after a shift by one pixel, by a whole stride; squared output."""

    one_pixel: Array
    whole_stride: Array
    output: Array


def shift_energies(operator: Downsample, x: Array) -> ShiftEnergies:
    """Return how far the operator is from moving its output by 1 / s where its input ``x`` moves by one pixel.

    ``||op(roll(x, 1)) - F op(x)||^2``, F the `fourier_shift` by 1 / s, along each axis with a stride in turn. The shift
    by a whole stride, ``||op(roll(x, s)) - roll(op(x), 1)||^2``, is 0 with circular borders; with others it is what
    the border does. An operator that chooses its phase per image moves its grid too, by some k / s: the nearest counts.

    Args:
        operator: with a stride above 1 along some axis.
        x: float ``[batch, height, width, channels]``.
    """
    chooses_phase = operator.select(x) is not None
    y = _apply(operator, x)
    one_pixel, whole_stride, output = jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    for axis, stride in enumerate(operator.stride, start=1):
        if stride == 1:
            continue
        moved = _apply(operator, jnp.roll(x, 1, axis))
        grid_steps = range(2 - stride, stride + 1) if chooses_phase else (1,)
        errors = [((moved - fourier_shift(y, step / stride, axis)) ** 2).sum((1, 2, 3)) for step in grid_steps]
        one_pixel += jnp.stack(errors).min(0).sum()
        whole_stride += _energy(_apply(operator, jnp.roll(x, stride, axis)) - jnp.roll(y, 1, axis))
        output += _energy(y)
    return ShiftEnergies(one_pixel, whole_stride, output)


def _apply(operator: Downsample, x: Array) -> Array:
    return operator(x, index=operator.select(x))


class SiteEnergies(NamedTuple):
    """What is summed at one site: `alias_energies` and `shift_energies`, None where the operator has no such number."""

    alias: tuple[Array, Array] | None
    shift: ShiftEnergies | None


@partial(Program, static_argnums=0)
def _site_energies(graph: nnx.GraphDef, state: Any, x: Array) -> dict[str, SiteEnergies]:
    model = nnx.merge(graph, state)
    sites = operator_sites(model)
    return {name: _energies(sites[name], arrival) for name, arrival in site_arrivals(model, x).items()}


def _energies(operator: Downsample, arrival: Arrival) -> SiteEnergies:
    x = arrival.x.astype(jnp.float32)
    try:
        alias = alias_energies(operator.dense(x), operator.stride, arrival.phase)
    except TypeError:
        alias = None
    phase_comes_from_elsewhere = arrival.phase is not None and operator.select(x) is None
    shift = None if phase_comes_from_elsewhere else shift_energies(operator, x)
    return SiteEnergies(alias, shift)


def site_aliasing(model: nnx.Module, batches: Sequence[Array]) -> dict[str, dict[str, Any]]:
    """Return for each downsampling site its alias energy and its errors under shifts, over all ``batches``.

    Args:
        model: its downsampling operators are `strideflax.operators` modules; it maps normalised images to anything.
        batches: float32 ``[batch, height, width, channels]`` each.

    Returns:
        By site: ``operator``, ``stride``, ``alias_energy`` (a share), ``one_pixel_shift_error`` and
        ``whole_stride_shift_error`` (relative L2); None with a ``reason`` where the operator has no such number.
    """
    graph, state = nnx.split(model)
    of_batches = [jax.device_get(_site_energies(graph, state, batch)) for batch in batches]
    sums = jax.tree.map(lambda *values: float(np.sum(values, dtype=np.float64)), *of_batches)
    return {name: _describe(operator, sums[name]) for name, operator in operator_sites(model).items() if name in sums}


def _describe(operator: Downsample, energies: SiteEnergies) -> dict[str, Any]:
    name = type(operator).__name__
    site: dict[str, Any] = {
        "operator": name,
        "stride": list(operator.stride),
        "alias_energy": None,
        "one_pixel_shift_error": None,
        "whole_stride_shift_error": None,
    }
    if energies.alias is None:
        site["reason"] = f"{name} is not a filter followed by subsampling"
    else:
        site["alias_energy"] = _ratio(*energies.alias)
    if energies.shift is None:
        site["reason"] = f"{name} samples where another operator chose"
    else:
        one_pixel, whole_stride, output = energies.shift
        site["one_pixel_shift_error"] = _root(_ratio(one_pixel, output))
        site["whole_stride_shift_error"] = _root(_ratio(whole_stride, output))
    return site


def _ratio(part: Any, whole: Any) -> float | None:
    return part / whole if whole else None


def _root(number: float | None) -> float | None:
    return None if number is None else number**0.5


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on what its first test images send to each site."""
    images, _ = subject.test(IMAGES)
    sites = site_aliasing(subject.run.model, subject.normalized_batches(images, BATCH_SIZE))
    progress(1, 1)
    return {
        "protocol": "alias energy right before subsampling, ||Dx - DLx||^2 / ||Dx||^2, L keeping max(|u|,|v|) <= 1/s, "
        "the bin at 1/s kept; shift error ||op(roll(x,1)) - F op(x)|| / ||op(x)||, F the Fourier shift by 1/s; sums "
        f"over the first {len(images)} test images and all channels",
        "images": len(images),
        "sites": sites,
    }
