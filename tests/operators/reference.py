"""Plain NumPy definitions of convolution and pooling, one tap at a time, for tests to compare with.

Nothing here imports strideflax. Arguments are explicit: one entry per spatial axis.
"""

from collections.abc import Iterator, Sequence

import numpy as np

Pads = list[tuple[int, int]]
Ints = Sequence[int]


def pads_of(padding, size: Ints, window: Ints, stride: Ints, dilation: Ints) -> Pads:
    """Return (low, high) per axis, from the sentence that defines each rule."""
    if isinstance(padding, int):
        return [(padding, padding)] * len(size)
    if not isinstance(padding, str):
        return [(p, p) if isinstance(p, int) else p for p in padding]
    pads = []
    for n, k, s, d in zip(size, window, stride, dilation, strict=True):
        reach = (k - 1) * d
        outputs = int(np.ceil(n / s))
        missing = max(0, (outputs - 1) * s + reach + 1 - n)
        small, large = missing // 2, missing - missing // 2
        pads.append(
            {
                "VALID": (0, 0),
                "SAME": (small, large),
                "SAME_LOWER": (large, small),
                "SYMMETRIC": ((reach + 1) // 2, (reach + 1) // 2),
                "CIRCULAR": (reach // 2, reach - reach // 2),
                "REFLECT": (reach // 2, reach - reach // 2),
            }[padding]
        )
    return pads


def sources(padding, size: Ints, window: Ints, stride: Ints, dilation: Ints) -> list[np.ndarray]:
    """Return per axis [outputs, taps]: the input pixel that a tap reads, -1 where it reads a zero of the padding."""
    tables = []
    pads = pads_of(padding, size, window, stride, dilation)
    for n, k, s, d, (low, high) in zip(size, window, stride, dilation, pads, strict=True):
        rows = []
        for start in range(-low, n + high - (k - 1) * d, s):  # every place where the window fits
            row = []
            for t in range(k):
                p = start + t * d
                if padding == "CIRCULAR":
                    p = p % n
                elif padding == "REFLECT":
                    p = -p if p < 0 else 2 * (n - 1) - p if p >= n else p
                row.append(p if 0 <= p < n else -1)
            rows.append(row)
        tables.append(np.array(rows))
    return tables


def taps(tables: list[np.ndarray]) -> Iterator[tuple[tuple[int, ...], tuple[np.ndarray, ...], np.ndarray]]:
    """Yield every tap with the pixels it reads (an index) and which of them are real (a mask, [*outputs])."""
    for tap in np.ndindex(*[table.shape[1] for table in tables]):
        index = np.ix_(*[table[:, t] for table, t in zip(tables, tap, strict=True)])
        real = np.all(np.broadcast_arrays(*[axis >= 0 for axis in index]), axis=0)
        yield tap, index, real


def read(x: np.ndarray, index, real: np.ndarray, fill: float = 0.0) -> np.ndarray:
    """Return [batch, *outputs, channels]: the pixels at ``index``, ``fill`` where they are not real."""
    return np.where(real[None, ..., None], x[(slice(None), *index)], fill)


def add_at(gradient: np.ndarray, index, real: np.ndarray, values: np.ndarray) -> None:
    """Add ``values`` [batch, *outputs, channels] to the pixels they were read from: the transpose of `read`."""
    np.add.at(gradient, (slice(None), *index), np.where(real[None, ..., None], values, 0.0))


def groups_of(kernel: np.ndarray, groups: int) -> Iterator[tuple[slice, slice]]:
    """Yield the input and output channels of each group."""
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    for g in range(groups):
        yield slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)


def flipped(kernel: np.ndarray) -> np.ndarray:
    return kernel[(slice(None, None, -1),) * (kernel.ndim - 2)]


def conv(x, kernel, stride, padding, dilation, groups=1, flip_kernel=False) -> np.ndarray:
    """``y[i] = sum_t kernel[t] * x[s i + d t - low]``."""
    kernel = flipped(kernel) if flip_kernel else kernel
    tables = sources(padding, x.shape[1:-1], kernel.shape[:-2], stride, dilation)
    y = np.zeros((len(x), *map(len, tables), kernel.shape[-1]))
    for tap, index, real in taps(tables):
        pixels = read(x, index, real)
        for i, o in groups_of(kernel, groups):
            y[..., o] += pixels[..., i] @ kernel[tap][:, o]
    return y


def conv_gradients(x, kernel, dy, stride, padding, dilation, groups=1, flip_kernel=False):
    """Return the gradients of ``sum(dy * conv(x, kernel))``: each product, sent back where its factors came from."""
    kernel = flipped(kernel) if flip_kernel else kernel
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for tap, index, real in taps(sources(padding, x.shape[1:-1], kernel.shape[:-2], stride, dilation)):
        pixels = read(x, index, real)
        back = np.zeros(pixels.shape)
        for i, o in groups_of(kernel, groups):
            back[..., i] = dy[..., o] @ kernel[tap][:, o].T
            dkernel[tap][:, o] = np.tensordot(pixels[..., i], dy[..., o], axes=[list(range(dy.ndim - 1))] * 2)
        add_at(dx, index, real, back)
    return dx, flipped(dkernel) if flip_kernel else dkernel


def max_pool(x, window, stride, padding, dilation) -> np.ndarray:
    tables = sources(padding, x.shape[1:-1], window, stride, dilation)
    return np.max([read(x, index, real, -np.inf) for _, index, real in taps(tables)], axis=0)


def max_pool_gradient(x, dy, window, stride, padding, dilation) -> np.ndarray:
    """Send each window's gradient to its largest pixel; for inputs without ties (copies of one pixel are no tie)."""
    tables = sources(padding, x.shape[1:-1], window, stride, dilation)
    best = max_pool(x, window, stride, padding, dilation)
    hits = [(index, real, read(x, index, real, -np.inf) == best) for _, index, real in taps(tables)]
    copies = np.sum([hit for *_, hit in hits], axis=0)
    dx = np.zeros(x.shape)
    for index, real, hit in hits:
        add_at(dx, index, real, dy * hit / copies)
    return dx


def avg_pool(x, window, stride, padding, dilation, count_include_pad=False) -> np.ndarray:
    tables = sources(padding, x.shape[1:-1], window, stride, dilation)
    total = sum(read(x, index, real) for _, index, real in taps(tables))
    return total / avg_count(tables, count_include_pad)


def avg_pool_gradient(x, dy, window, stride, padding, dilation, count_include_pad=False) -> np.ndarray:
    tables = sources(padding, x.shape[1:-1], window, stride, dilation)
    dx = np.zeros(x.shape)
    for _, index, real in taps(tables):
        add_at(dx, index, real, dy / avg_count(tables, count_include_pad))
    return dx


def avg_count(tables: list[np.ndarray], count_include_pad: bool) -> np.ndarray:
    """Return the divisor of each window, [1, *outputs, 1]."""
    count = sum(np.ones(real.shape) if count_include_pad else real for _, _, real in taps(tables))
    return np.asarray(count)[None, ..., None]


def windows(x, window, stride, padding, dilation) -> tuple[np.ndarray, np.ndarray]:
    """Return windows [batch, *outputs, taps, channels], 0 on padding; which taps are real [1, *outputs, taps, 1]."""
    found = list(taps(sources(padding, x.shape[1:-1], window, stride, dilation)))
    pixels = np.stack([read(x, index, real) for _, index, real in found], axis=-2)
    return pixels, np.stack([real for *_, real in found], axis=-1)[None, ..., None]


WINDOW_CASES = [  # size, window, stride, padding, dilation
    ((7, 5), (3, 2), (2, 1), "SAME", (1, 1)),
    ((8, 7), (3, 3), (2, 2), "SYMMETRIC", (2, 1)),
    ((5, 6), (4, 3), (2, 2), "REFLECT", (1, 1)),
    ((5, 6), (2, 3), (3, 2), "CIRCULAR", (1, 2)),
    ((9,), (3,), (2,), "SAME_LOWER", (2,)),
    ((3, 4, 5), (2, 2, 2), (2, 1, 2), ((1, 0), (0, 1), (1, 1)), (1, 1, 1)),
]
