"""Random convolutions by oneDNN against NumPy: python -m reliability.random_convolutions SEED COUNT

A process of its own, since a wrong kernel may end it: each case is printed before it is computed. The last line holds how many
oneDNN computed, and how many it was not asked for, by reason.
"""

import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from strideflax.kernels import native
from strideflax.window import Window

MOST_PRODUCTS = 3_000_000  # of one case, so that NumPy is quick
CHANNELS = (1, 1, 2, 3, 3, 4, 5, 7, 8, 8, 12, 16, 16, 17, 31, 32, 32, 48, 64, 96, 128)


@dataclass(frozen=True)
class Case:
    """A convolution; the names are those of `strideflax.conv`."""

    batch: int
    size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    inputs: int
    outputs: int
    dtype: str

    @property
    def output_size(self) -> tuple[int, ...]:
        """Size of the map that comes out."""
        found = []
        for n, k, s, (low, high), d in zip(self.size, self.window, self.stride, self.pads, self.dilation, strict=True):
            found.append((n + low + high - d * (k - 1) - 1) // s + 1)
        return tuple(found)

    @property
    def products(self) -> int:
        """Multiplications of the convolution."""
        per_output = math.prod(self.window) * self.inputs // self.groups
        return self.batch * math.prod(self.output_size) * self.outputs * per_output


def random_case(choice: random.Random) -> Case:
    """Return a case with all its axes alike, or each on its own."""
    while True:
        axes = choice.choice((1, 2, 2, 2, 3))
        most = choice.choice((3, 3, 7, 15, 33, 70)) if axes < 3 else choice.choice((3, 5, 9))
        window = tuple(choice.randint(1, most) for _ in range(axes))
        if choice.random() < 0.5:
            window = window[:1] * axes
        dilation = tuple(choice.choice((1, 1, 1, 2, 3)) for _ in range(axes))
        stride = tuple(choice.choice((1, 1, 2, 2, 3, 4)) for _ in range(axes))
        pads = tuple((choice.randint(0, k), choice.randint(0, k)) for k in window)
        if choice.random() < 0.4:
            pads = ((0, 0),) * axes
        size = tuple(choice.choice((1, 2, 4, 5, 7, 8, 9, 13, 16, 28, 33, 70, 80)) for _ in range(axes))
        groups = choice.choice((1, 1, 1, 1, 2, 3, 4, 8, 16, 32))
        inputs, outputs = (groups * choice.choice(CHANNELS) for _ in range(2))
        if choice.random() < 0.15:
            inputs = outputs = groups
        case = Case(
            choice.choice((1, 1, 2, 3, 5, 8)), size, window, stride, pads, dilation, groups, inputs, outputs,
            choice.choice(("float32", "float32", "bfloat16")),
        )  # fmt: skip
        if min(case.output_size) > 0 and case.products <= MOST_PRODUCTS and max(inputs, outputs) <= 512:
            return case


def expected(case: Case, kind: str, x: np.ndarray, kernel: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Compute in float64, tap by tap and group by group."""
    padded = np.zeros((case.batch, *(n + sum(p) for n, p in zip(case.size, case.pads, strict=True)), case.inputs))
    inner = tuple(slice(low, low + n) for n, (low, _) in zip(case.size, case.pads, strict=True))
    padded[:, *inner] = x if kind != "input_gradient" else 0
    per_group = (case.groups, -1)
    split_kernel = kernel.reshape(*kernel.shape[:-1], *per_group)
    split_g = g.reshape(*g.shape[:-1], *per_group)
    split_x = padded.reshape(*padded.shape[:-1], *per_group)
    y, dkernel = np.zeros(split_g.shape), np.zeros(split_kernel.shape)
    for tap in np.ndindex(*case.window):
        read = []
        for t, s, d, n in zip(tap, case.stride, case.dilation, case.output_size, strict=True):
            read.append(slice(t * d, t * d + s * (n - 1) + 1, s))
        part = split_x[:, *read]
        if kind == "convolution":
            y += np.einsum("...gi,igo->...go", part, split_kernel[tap], optimize=True)
        elif kind == "input_gradient":
            part += np.einsum("...go,igo->...gi", split_g, split_kernel[tap], optimize=True)
        else:
            pixels, gradients = part.reshape(-1, *part.shape[-2:]), split_g.reshape(-1, *split_g.shape[-2:])
            dkernel[tap] = np.einsum("ngi,ngo->igo", pixels, gradients, optimize=True)
    if kind == "convolution":
        return y.reshape(g.shape)
    return padded[:, *inner] if kind == "input_gradient" else dkernel.reshape(kernel.shape)


def check(case: Case, values: np.random.Generator) -> Counter:
    """Compare the convolution and both gradients; return how many oneDNN computed."""
    shapes = {
        "x": (case.batch, *case.size, case.inputs),
        "kernel": (*case.window, case.inputs // case.groups, case.outputs),
        "g": (case.batch, *case.output_size, case.outputs),
    }
    arrays: dict[str, Any] = {}
    for name, shape in shapes.items():
        arrays[name] = jnp.asarray(values.standard_normal(shape), case.dtype)
    exact = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    x, kernel, g = arrays.values()
    window = Window(size=case.window, stride=case.stride, pads=case.pads, dilation=case.dilation)
    counts = Counter()
    for kind, a, b, result in (
        ("convolution", x, kernel, g),
        ("input_gradient", g, kernel, x),
        ("kernel_gradient", x, g, kernel),
    ):
        call = native.kernel(kind, a, b, result, window, case.groups)
        if call is None:
            counts["refused"] += 1
            continue
        counts["computed"] += 1
        found = np.asarray(jax.jit(call)(a, b), np.float64)
        right = expected(case, kind, **exact)
        size = expected(case, kind, **{name: np.abs(array) for name, array in exact.items()})
        rounding = 2.0**-8 if case.dtype == "bfloat16" else 2.0**-23
        wrong = np.abs(found - right) > rounding * np.abs(right) + 4e-6 * size
        assert not wrong.any(), (
            f"{kind}: {wrong.sum()} of {wrong.size} values, {found[wrong][:3]} for {right[wrong][:3]}"
        )
    return counts


def main(seed: int, count: int) -> None:
    """Check that many random cases."""
    choice, values, total = random.Random(seed), np.random.default_rng(seed), Counter()
    for number in range(count):
        case = random_case(choice)
        print(number, case, flush=True)
        total += check(case, values)
        if number % 50 == 49:
            jax.clear_caches()
    print(total["computed"], total["refused"])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
