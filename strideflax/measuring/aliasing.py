"""Aliasing where a net downsamples: how much of what the subsampling keeps is folded high frequencies."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.data.augment import normalize
from strideflax.measuring.functions import Progress
from strideflax.measuring.sites import Arrival, downsampling_sites, site_arrivals
from strideflax.measuring.subject import Subject
from strideflax.operators.base import Downsample
from strideflax.operators.polyphase import polyphase_sample

IMAGES = 256
BATCH_SIZE = 64


def low_pass(x: Array, stride: tuple[int, ...]) -> Array:
    """Keep the frequencies that a grid of ``stride`` can hold: ``|u| <= 1 / s`` of the Nyquist frequency per axis.

    The bins at exactly 1 / s are kept. The Fourier transform takes the image as periodic.

    Args:
        x: ``[batch, height, width, channels]``.
        stride: per axis.
    """
    kept = [np.abs(np.fft.fftfreq(n, 1 / n)).round() * 2 * s <= n for n, s in zip(x.shape[1:3], stride, strict=True)]
    mask = np.logical_and.outer(*kept)[None, :, :, None]
    return jnp.fft.ifft2(jnp.fft.fft2(x, axes=(1, 2)) * mask, axes=(1, 2)).real


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
    return x[:, :: stride[0], :: stride[1]] if phase is None else polyphase_sample(x, phase, stride)


def _energy(x: Array) -> Array:
    return (x**2).sum()


def fourier_shift(x: Array, pixels: float, axis: int) -> Array:
    """Shift ``x`` circularly by a fraction of a pixel along ``axis``; the bin at the Nyquist frequency stays real."""
    n = x.shape[axis]
    turn = np.exp(-2j * np.pi * np.arange(n // 2 + 1) * pixels / n).astype(np.complex64)
    turn = turn.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return jnp.fft.irfft(jnp.fft.rfft(x, axis=axis) * turn, n, axis=axis)


class ShiftEnergies(NamedTuple):
    """Sums over images and channels: squared errors after a shift by one pixel, by a whole stride; squared output."""

    one_pixel: Array
    whole_stride: Array
    output: Array


def shift_energies(operator: Downsample, x: Array) -> ShiftEnergies:
    """Return how far the operator is from moving its output by 1 / s where its input ``x`` moves by one pixel.

    ``||op(roll(x, 1)) - F op(x)||^2``, F the `fourier_shift` by 1 / s, along each axis with a stride in turn. The shift
    by a whole stride, ``||op(roll(x, s)) - roll(op(x), 1)||^2``, is 0 with circular borders; else it is their share.
    An operator that chooses its phase per image moves its grid too, by some k / s: there the nearest of these counts.
    """
    adaptive = operator.select(x) is not None
    y = _apply(operator, x)
    one_pixel, whole_stride, output = [], [], []
    for axis, s in enumerate(operator.stride, start=1):
        if s == 1:
            continue
        moved = _apply(operator, jnp.roll(x, 1, axis))
        steps = range(2 - s, s + 1) if adaptive else (1,)
        errors = jnp.stack([((moved - fourier_shift(y, k / s, axis)) ** 2).sum((1, 2, 3)) for k in steps])
        one_pixel.append(errors.min(0).sum())
        whole_stride.append(_energy(_apply(operator, jnp.roll(x, s, axis)) - jnp.roll(y, 1, axis)))
        output.append(_energy(y))
    return ShiftEnergies(sum(one_pixel), sum(whole_stride), sum(output))  # type: ignore[arg-type]


def _apply(operator: Downsample, x: Array) -> Array:
    return operator(x, index=operator.select(x))


@partial(jax.jit, static_argnums=0)
def _site_energies(graph: nnx.GraphDef, state: Any, x: Array) -> dict[str, Any]:
    model = nnx.merge(graph, state)
    sites = downsampling_sites(model)
    return {name: _energies(sites[name], arrival) for name, arrival in site_arrivals(model, x).items()}


def _energies(operator: Downsample, arrival: Arrival) -> tuple[tuple[Array, Array] | None, ShiftEnergies | None]:
    """Return the alias energies and the shift energies, None for one that the operator does not have."""
    x = arrival.x.astype(jnp.float32)
    try:
        alias = alias_energies(operator.dense(x), operator.stride, arrival.phase)
    except TypeError:
        alias = None
    follows = arrival.phase is not None and operator.select(x) is None
    return alias, None if follows else shift_energies(operator, x)


def aliasing(model: nnx.Module, batches: list[Array]) -> dict[str, dict[str, Any]]:
    """Return for each downsampling site its alias energy and its errors under shifts, over all ``batches``.

    Args:
        model: maps normalised images to anything.
        batches: float32 ``[batch, height, width, channels]`` each.

    Returns:
        By site: ``operator``, ``stride``, ``alias_energy`` (a share), ``one_pixel_shift_error`` and
        ``whole_stride_shift_error`` (relative L2); None with a ``reason`` where the operator has no such number.
    """
    graph, state = nnx.split(model)
    parts = [jax.device_get(_site_energies(graph, state, batch)) for batch in batches]
    sums = jax.tree.map(lambda *values: float(np.sum(values, dtype=np.float64)), *parts)
    return {name: _site(operator, *sums[name]) for name, operator in downsampling_sites(model).items()}


def _site(operator: Downsample, alias: tuple[float, float] | None, shift: Any) -> dict[str, Any]:
    name = type(operator).__name__
    site: dict[str, Any] = {"operator": name, "stride": list(operator.stride)}
    site["alias_energy"] = _ratio(*alias) if alias else None
    for label in ("one_pixel", "whole_stride"):
        error = _ratio(getattr(shift, label), shift.output) if shift else None
        site[f"{label}_shift_error"] = None if error is None else error**0.5
    if alias is None:
        site["reason"] = f"{name} is not a filter followed by subsampling"
    if shift is None:
        site["reason"] = f"{name} samples where another operator chose"
    return site


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on what its first test images send to each site."""
    images, _ = subject.test(IMAGES)
    starts = range(0, len(images), BATCH_SIZE)
    batches = [
        normalize(jnp.asarray(images[s : s + BATCH_SIZE]), subject.dataset.mean, subject.dataset.std) for s in starts
    ]
    sites = aliasing(subject.run.model, batches)
    progress(1, 1)
    return {
        "protocol": "alias energy right before subsampling, ||Dx - DLx||^2 / ||Dx||^2, L keeping max(|u|,|v|) <= 1/s, "
        "the bin at 1/s kept; shift error ||op(roll(x,1)) - F op(x)|| / ||op(x)||, F the Fourier shift by 1/s; sums "
        f"over the first {len(images)} test images and all channels",
        "images": len(images),
        "sites": sites,
    }
