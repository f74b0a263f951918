"""The network's configuration: frozen, typed, checked values, whose defaults are the strided baseline of ``configs/``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from strideflax.errors import ConfigError
from strideflax.operators.geometry import MODULE_PADDINGS, per_axis
from strideflax.operators.table import downsampler

PLACEMENTS = ("after", "before", "added")
DTYPES = ("float32", "bfloat16")
Stride = int | tuple[int, int]  # of both axes, or of rows and columns


def require(allowed: bool, name: str, value: object, expected: str) -> None:
    """Raise a ConfigError that names the field, what it must be and what came, unless ``allowed``."""
    if not allowed:
        raise ConfigError(f"config.{name} must be {expected}, got {value!r}")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ConfigError unless ``value`` is one of ``choices``."""
    require(value in choices, name, value, f"one of {', '.join(choices)}")


def _require_sound(name: str, check: Callable[..., object], *arguments: Any) -> None:
    """Call ``check``; raise what it has to say about a field as a ConfigError."""
    try:
        check(*arguments)
    except ValueError as error:
        raise ConfigError(f"config.{name}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class StemConfig:
    """The first layer: a ``kernel`` x ``kernel`` convolution at ``stride``, downsampled by ``downsample``, then a pool.

    ``pool`` names a second operator, of stride 2; None is no pool.
    """

    kernel: int = 7
    stride: Stride = 2
    downsample: str = "strided_conv"
    pool: str | None = None

    def __post_init__(self) -> None:
        require(self.kernel >= 1, "model.stem.kernel", self.kernel, "an int >= 1")
        _require_sound("model.stem.stride", per_axis, self.stride, 2, "stride")
        _require_sound("model.stem.downsample", downsampler, self.downsample)
        if (pool := self.pool) is not None:
            _require_sound("model.stem.pool", downsampler, pool)
            require(not downsampler(pool).convolves, "model.stem.pool", pool, "none or a pool")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: a stem, stages of residual blocks, global average, a linear classifier.

    Attributes:
        stem: the first layer.
        widths, blocks, strides: channels, number of blocks and stride of each stage.
        downsample: name of the operator (`strideflax.operators.table.DOWNSAMPLERS`) in every block with a stride.
        window: the operator's window or filter length; None is the operator's default.
        taps: length of the low-pass filter of an operator that also convolves, ``conv_blur``; None is its default.
        placement: of a pool on the main path, "after" the block's first convolution or "before" it. An operator that
            convolves stands in that convolution's place, or is a layer of its own before it if "added".
        padding: the border convention of every layer.
        residual: False builds the plain net without shortcuts.
        batch_norm_momentum: share of the running statistics kept at each step.
        dtype: of the computation; parameters are float32.

    Raises:
        ConfigError: a value that is not allowed; one line.
    """

    stem: StemConfig = field(default_factory=StemConfig)
    widths: tuple[int, ...] = (64, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 1)
    strides: tuple[Stride, ...] = (1, 2, 2)
    downsample: str = "strided_conv"
    window: int | None = None
    taps: int | None = None
    placement: str = "after"
    padding: str = "SYMMETRIC"
    residual: bool = True
    batch_norm_momentum: float = 0.9
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._check_stages()
        self._check_operator()
        require_choice("model.placement", self.placement, PLACEMENTS)
        require_choice("model.padding", self.padding, MODULE_PADDINGS)
        require(0 <= self.batch_norm_momentum < 1, "model.batch_norm_momentum", self.batch_norm_momentum, "in [0, 1)")
        require_choice("model.dtype", self.dtype, DTYPES)

    def _check_stages(self) -> None:
        stages = len(self.widths)
        sound = stages > 0 and all(width >= 1 for width in self.widths)
        require(sound, "model.widths", self.widths, "one or more ints >= 1")
        for name, value in (("blocks", self.blocks), ("strides", self.strides)):
            require(len(value) == stages, f"model.{name}", value, f"{stages} entries, one per entry of model.widths")
        require(all(count >= 1 for count in self.blocks), "model.blocks", self.blocks, "ints >= 1")
        for stride in self.strides:
            _require_sound("model.strides", per_axis, stride, 2, "stride")

    def _check_operator(self) -> None:
        _require_sound("model.downsample", downsampler, self.downsample)
        operator = downsampler(self.downsample)
        if self.window is not None:
            name, value = "model.window", self.window
            require(operator.default_window is not None, name, value, f"None, as {self.downsample} has no window")
            require(value >= 1, name, value, "an int >= 1, or None for the operator's default")
        if self.taps is not None:
            name, value = "model.taps", self.taps
            has_taps = operator.default_taps is not None
            require(has_taps, name, value, f"None, as {self.downsample} has no filter behind a convolution")
            require(value >= 1, name, value, "an int >= 1, or None for the operator's default")
