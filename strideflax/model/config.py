"""The network's configuration: frozen, typed, checked values, whose defaults are the strided baseline of ``configs/``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from strideflax.errors import ConfigError
from strideflax.operators.geometry import MODULE_PADDINGS, per_axis
from strideflax.operators.table import DOWNSAMPLERS, downsampler
from strideflax.wording import counted

NETWORKS = ("mini_resnet", "resnet9")
PLACEMENTS = ("after", "before", "added")
DTYPES = ("float32", "bfloat16")
DECODERS = ("resize", "unet")
UPSAMPLERS_OF_UNET = ("nearest", "linear", "blur", "transposed_conv", "polyphase")  # of `strideflax.UPSAMPLERS`
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

    ``pool`` names a second operator, of stride 2; None is no pool. ``width`` is its channels; None is those of the first stage.
    """

    kernel: int = 7
    stride: Stride = 2
    downsample: str = "strided_conv"
    pool: str | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        require(self.kernel >= 1, "model.stem.kernel", self.kernel, "an int >= 1")
        _require_sound("model.stem.stride", per_axis, self.stride, 2, "stride")
        _require_sound("model.stem.downsample", downsampler, self.downsample)
        if (pool := self.pool) is not None:
            _require_sound("model.stem.pool", downsampler, pool)
            require(not downsampler(pool).convolves, "model.stem.pool", pool, "none or a pool")
        if self.width is not None:
            require(self.width >= 1, "model.stem.width", self.width, "an int >= 1, or None for that of the first stage")


@dataclass(frozen=True, kw_only=True)
class StageStep:
    """How a stage moves on, per axis: the stride and the dilation of its first convolution, and the others' dilation."""

    stride: tuple[int, ...]
    first_dilation: tuple[int, ...]
    dilation: tuple[int, ...]

    def after_first(self) -> "StageStep":
        """Return how the stage's other blocks move on."""
        return StageStep(stride=(1, 1), first_dilation=self.dilation, dilation=self.dilation)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: a stem, stages of residual blocks, then a classifier of the image, or of each pixel.

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
        output_stride: pixels of the image from one output of the last stage to the next, at most. The strides that would go
            beyond are 1, and what follows them is dilated instead, as in DeepLab (Chen et al. 2017, arXiv:1606.00915); the
            operator is left out there. None: all strides are strides.
        decoder: None is a global average and a linear classifier. "resize" classifies each position of the last map and
            interpolates to the image's size; "unet" goes up step by step, with the map that each step of the way down began
            with (Ronneberger et al. 2015, arXiv:1505.04597).
        upsample: of "unet", the operator on the way up, one of `UPSAMPLERS_OF_UNET`; None is the counterpart of ``downsample``:
            a transposed convolution behind strided ones, a blur behind a blur, repeated pixels behind the pools of a block,
            "polyphase" behind "aps" and "lps" alone, linear interpolation behind everything else.
        network: "mini_resnet" is `MiniResNet`, whose stages begin with a residual block that downsamples. "resnet9" is
            `ResNet9`, whose stages begin with a convolution that downsamples; a stage may then have 0 residual blocks.

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
    output_stride: int | None = None
    decoder: str | None = None
    upsample: str | None = None
    network: str = "mini_resnet"

    def __post_init__(self) -> None:
        require_choice("model.network", self.network, NETWORKS)
        self._check_stages()
        self._check_dense()
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
            expected = f"{counted(stages, 'entry', 'entries')}, one per entry of model.widths"
            require(len(value) == stages, f"model.{name}", value, expected)
        least = 0 if self.network == "resnet9" else 1
        require(all(count >= least for count in self.blocks), "model.blocks", self.blocks, f"ints >= {least}")
        for stride in self.strides:
            _require_sound("model.strides", per_axis, stride, 2, "stride")

    def _check_dense(self) -> None:
        """Check what turns a classifier of images into one of pixels."""
        if self.network == "resnet9":
            for name, value in (("decoder", self.decoder), ("output_stride", self.output_stride)):
                require(value is None, f"model.{name}", value, "None where config.model.network is 'resnet9'")
        if self.decoder is not None:
            require_choice("model.decoder", self.decoder, DECODERS)
        if self.upsample is not None:
            require_choice("model.upsample", self.upsample, UPSAMPLERS_OF_UNET)
            adaptive = [name for name, entry in DOWNSAMPLERS.items() if entry.counterpart == "polyphase"]
            fits = self.upsample != "polyphase" or self.downsample in adaptive
            require(
                fits, "model.upsample", self.upsample, f"another one unless model.downsample is {' or '.join(adaptive)}"
            )
            require(self.decoder == "unet", "model.upsample", self.upsample, "None unless model.decoder is 'unet'")
        if self.output_stride is not None:
            reached = self._reached_strides()
            expected = f"one of {', '.join(map(str, reached))}, which the strides reach, or None for the last of them"
            require(self.output_stride in reached, "model.output_stride", self.output_stride, expected)

    def _reached_strides(self) -> list[int]:
        """Return the stride between pixels of the image after the stem and after each stage, the larger one of two axes."""
        reached = list(self._stem_strides())
        found = [max(reached)]
        for stride in self.strides:
            for axis, s in enumerate(per_axis(stride, 2, "stride")):
                reached[axis] *= s
            if max(reached) not in found:
                found.append(max(reached))
        return found

    def _stem_strides(self) -> tuple[int, ...]:
        factor = 1 if self.stem.pool is None else 2
        return tuple(factor * s for s in per_axis(self.stem.stride, 2, "stride"))

    def stage_steps(self) -> list["StageStep"]:
        """Return how each stage moves on, with dilation in place of the strides beyond ``output_stride``."""
        reached, dilation = list(self._stem_strides()), [1, 1]
        steps = []
        for stride in self.strides:
            kept, before = [1, 1], tuple(dilation)
            for axis, s in enumerate(per_axis(stride, 2, "stride")):
                if self.output_stride is not None and reached[axis] * s > self.output_stride:
                    dilation[axis] *= s
                else:
                    kept[axis] = s
                    reached[axis] *= s
            steps.append(StageStep(stride=tuple(kept), first_dilation=before, dilation=tuple(dilation)))
        return steps

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
