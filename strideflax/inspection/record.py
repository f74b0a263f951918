"""What an inspection found: one row per layer, one verdict per residual block, the totals."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from strideflax.operators.receptive_field import Field

CONVENTIONS = (
    "MACs: multiply-adds of one image, taps on zero padding (pad) included; pools: compares or adds; BatchNorm (folds "
    "into the convolution), ReLU and the shortcut's addition: 0. FLOPs = 2 MACs. Bytes: each row's output for one "
    "image. Field, jump, start: in pixels of the image; output i sees `field` pixels centred on start + i * jump. "
    "k, M, G: 10^3, 10^6, 10^9."
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer's row.

    Attributes:
        name: path in the network, e.g. "stage2/block1/reduction/conv".
        operator: its name in the table of operators, or conv, batch_norm, add, global_mean, global_max, linear.
        output: height, width, channels.
        fields: receptive field, jump and start of its outputs per axis, in pixels of the image.
        dtype: of its output.
        params: learned numbers.
        macs: multiply-adds (or compares) of one image, taps on padding included.
        padding_macs: how many of them fall on zero padding.
        adaptive: the layer chooses its sampling phase per image; ``start``, here and after, is then the centre of the
            block of pixels that it chooses from.
        whole_map: each output depends on the whole map that comes in, as in spectral pooling.
    """

    name: str
    operator: str
    output: tuple[int, int, int]
    fields: tuple[Field, ...]
    dtype: str
    params: int = 0
    macs: int = 0
    padding_macs: int = 0
    adaptive: bool = False
    whole_map: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the output."""
        return self.output[:2]

    @property
    def activation_bytes(self) -> int:
        """Bytes of the output for one image."""
        return math.prod(self.output) * jnp.dtype(self.dtype).itemsize

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values; per-axis values are [vertical, horizontal]."""
        vertical, horizontal = self.fields
        return {
            "name": self.name,
            "operator": self.operator,
            "output": list(self.output),
            "receptive_field": [vertical.size, horizontal.size],
            "jump": [vertical.jump, horizontal.jump],
            "start": [vertical.start, horizontal.start],
            "phase_depends_on_image": self.adaptive,
            "sees_whole_map": self.whole_map,
            "params": self.params,
            "macs": self.macs,
            "padding_share": self.padding_macs / self.macs if self.macs else 0.0,
            "activation_bytes": self.activation_bytes,
            "dtype": self.dtype,
        }


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Whether the two paths that a residual block adds are centred on the same pixels.

    Attributes:
        block: its path.
        shift: main path's centre minus the shortcut's, vertical and horizontal, in pixels of the image; None without a
            shortcut.
        adaptive: the block samples at a phase chosen per image, the same on both paths.
        whole_map: an operator in it sees the whole map at once.
    """

    block: str
    shift: tuple[float, ...] | None
    adaptive: bool = False
    whole_map: bool = False

    @property
    def verdict(self) -> str:
        """One phrase, e.g. "misaligned by (0.5, 0.5) px"."""
        if self.shift is None:
            return "no shortcut"
        reason = " (one phase per image, shared by both paths)" if self.adaptive else ""
        reason = " (every output sees the whole map)" if self.whole_map else reason
        if any(self.shift):
            return f"misaligned by ({self.shift[0]:g}, {self.shift[1]:g}) px{reason}"
        return f"aligned{reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return the block's name, its shift and the verdict as plain values."""
        shift = None if self.shift is None else list(self.shift)
        return {"block": self.block, "shift_pixels": shift, "verdict": self.verdict}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A network at one image size, layer by layer.

    Attributes:
        size: height and width of the image.
        layers: rows in order of computation.
        alignments: one verdict per block.
    """

    size: tuple[int, ...]
    layers: tuple[Layer, ...]
    alignments: tuple[Alignment, ...]

    @property
    def params(self) -> int:
        """Learned numbers of the whole network."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def padding_share(self) -> float:
        """Share of the MACs that falls on zero padding."""
        return sum(layer.padding_macs for layer in self.layers) / self.macs

    @property
    def activation_bytes(self) -> int:
        """Bytes of all outputs for one image, as if all were kept."""
        return sum(layer.activation_bytes for layer in self.layers)

    def macs_share(self, layer: Layer) -> float:
        """Return the layer's share of the network's MACs."""
        return layer.macs / self.macs

    def stage_ends(self) -> dict[str, Layer]:
        """Return the last layer of the stem and of each stage, by the name of what ends there."""
        ends = {}
        for layer in self.layers:
            part = layer.name.split("/")[0].removesuffix("_pool")
            if part == "stem" or part.startswith("stage"):
                ends[part] = layer
        return ends

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        return {
            "size": list(self.size),
            "conventions": CONVENTIONS,
            "params": self.params,
            "macs": self.macs,
            "padding_share": self.padding_share,
            "activation_bytes": self.activation_bytes,
            "layers": [layer.to_dict() | {"macs_share": self.macs_share(layer)} for layer in self.layers],
            "alignments": [alignment.to_dict() for alignment in self.alignments],
        }
