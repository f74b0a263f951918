"""The convolution every other part stands on: arguments checked and made explicit, then computed by the kernels."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from strideflax.kernels import convolve, resolve_implementation
from strideflax.operators.geometry import Padding, PerAxis, is_int, make_window, spatial_size
from strideflax.window import Window

IMPLEMENTATIONS = ("auto", "lax", "native", "taps", "phases")


def conv(
    x: Array,
    kernel: Array,
    *,
    stride: PerAxis = 1,
    padding: Padding = "SAME",
    dilation: PerAxis = 1,
    groups: int = 1,
    flip_kernel: bool = False,
    implementation: str | None = None,
) -> Array:
    """Convolve ``x`` with ``kernel``: ``y[i] = sum_t kernel[t] * x[s i + d t - pad_low]``, per axis, over input channels.

    Like every deep-learning library this is cross-correlation; ``flip_kernel=True`` gives true convolution. Differentiable
    in both arguments, in forward and reverse mode and to any order.

    Args:
        x: ``[batch, *spatial, in_channels]`` with one, two or three spatial axes.
        kernel: ``[*window, in_channels / groups, out_channels]``.
        stride: step between outputs, an int or one per axis, e.g. ``(2, 1)``.
        padding: ``"VALID"``, ``"SAME"``, ``"SAME_LOWER"``, ``"SYMMETRIC"`` (k // 2 on both sides, PyTorch's convention),
            ``"CIRCULAR"``, ``"REFLECT"``, an int, or an int or ``(low, high)`` pair per axis.
        dilation: distance between the kernel's taps, an int or one per axis.
        groups: number of channel groups; each output channel sees ``in_channels / groups`` inputs.
        flip_kernel: reverse the kernel along every spatial axis first.
        implementation: how it and its gradients are computed, to the same values. ``"auto"`` (the default, see
            `use_implementation`) is ``"native"``, by oneDNN, on a single CPU device where oneDNN is installed and has a
            kernel for it, and else the fastest in XLA: on a GPU XLA's own in 2-D without dilation or groups; else one call
            forwards and at stride 1, gradients of strided ones by
            ``"taps"`` (a matrix product per tap; one group) or ``"phases"`` (a dense convolution per phase). The gradient of
            an input with fewer than 16 channels is one dense convolution for all phases together. ``"lax"`` is XLA's own,
            gradients included: on CPU their compilation aborts the process for some small strided shapes. It also runs where
            JAX's types say how arrays lie on a mesh (explicit sharding, `jax.shard_map`).

    Returns:
        ``[batch, *output_size, out_channels]`` in the promoted type of the arguments.

    Raises:
        ValueError: ranks, channels, groups, stride, padding or dilation that do not fit, or an empty output.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    map_size = spatial_size(x)
    axes = len(map_size)
    if kernel.ndim != axes + 2 or 0 in kernel.shape:
        raise ValueError(
            f"kernel must be [*window, in_channels / groups, out_channels] with {axes + 2} axes, none empty, for an input of "
            f"shape {x.shape}, got shape {kernel.shape}"
        )
    if not is_int(groups) or groups < 1:
        raise ValueError(f"groups must be an int >= 1, got {groups!r}")
    inputs, (group_inputs, outputs) = x.shape[-1], kernel.shape[-2:]
    if group_inputs * groups != inputs or outputs % groups:
        raise ValueError(
            f"kernel {kernel.shape} with groups={groups} expects {group_inputs * groups} input channels and output channels "
            f"divisible by {groups}, got {inputs} input and {outputs} output channels"
        )
    window = make_window(map_size, kernel.shape[:-2], stride=stride, padding=padding, dilation=dilation)
    if flip_kernel:
        kernel = jnp.flip(kernel, range(axes))
    return conv_window(x, kernel, window, groups=groups, implementation=implementation)


def conv_window(
    x: Array, kernel: Array, window: Window, *, groups: int = 1, implementation: str | None = None
) -> Array:
    """Convolve as `conv` does, with the window made already."""
    how = resolve_implementation(implementation, IMPLEMENTATIONS, x, kernel)
    if how == "taps" and groups > 1:
        raise ValueError(f"implementation 'taps' takes one group, got groups={groups}")
    return _conv(x, kernel, window, groups, how)


@partial(jax.jit, static_argnames=("window", "groups", "implementation"))
def _conv(x: Array, kernel: Array, window: Window, groups: int, implementation: str) -> Array:
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    return convolve(x.astype(dtype), kernel.astype(dtype), window, groups=groups, implementation=implementation)
