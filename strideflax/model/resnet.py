"""The mini-ResNet: a stem, stages of residual blocks, one injected downsampling operator, a classifier of images or pixels."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.errors import ConfigError
from strideflax.model.batch_norm import BatchNorm
from strideflax.model.config import ModelConfig, StageStep
from strideflax.model.decoder import Fields, Level, UpStep, interpolate_to_image, make_upsampler
from strideflax.operators.base import Downsample
from strideflax.operators.dilated import DilatedConv
from strideflax.operators.geometry import per_axis
from strideflax.operators.receptive_field import Field, receptive_fields
from strideflax.operators.strided import StridedConv
from strideflax.operators.table import downsampler, operator_entry

NOMINAL_SIZE = (256, 256)  # of an image, where padding by "SAME" asks whether maps have an even size


class NamedStreams:
    """Random streams by name: a layer's initial values depend on the seed, its name and its shape alone.

    So layers that two models share start equal, whatever stands between them: "stage1/block1/conv" has the same initial
    values with a strided convolution before it and with a blur.
    """

    def __init__(self, key: Array, prefix: str = ""):
        self.key, self.prefix = key, prefix

    def within(self, name: str) -> "NamedStreams":
        """Return the streams of the part ``name``."""
        return NamedStreams(self.key, f"{self.prefix}/{name}")

    def rngs(self, name: str) -> nnx.Rngs:
        """Return Flax streams for the layer ``name``."""
        return nnx.Rngs(params=jax.random.fold_in(self.key, zlib.crc32(f"{self.prefix}/{name}".encode())))


@dataclass(frozen=True, kw_only=True)
class Downsampling:
    """What downsamples at one place of the network, and where it stands.

    Attributes:
        operator: a module of `strideflax.operators.table.DOWNSAMPLERS`.
        stride: per axis.
        dilation: per axis, of the convolution where nothing is downsampled.
        placement: "before" the convolution, "after" its ReLU, or "added", see `ModelConfig`.
        window, taps: the operator's, None for its default.
    """

    operator: type[Downsample]
    stride: tuple[int, ...]
    placement: str
    window: int | None = None
    taps: int | None = None
    dilation: tuple[int, ...] = (1, 1)

    def options(self, padding: str) -> dict[str, Any]:
        """Return the operator's arguments besides its channels and its window."""
        if issubclass(self.operator, DilatedConv):
            return {"dilation": self.dilation, "padding": padding}
        taps = None if self.operator.default_taps is None else self.taps
        return {"stride": self.stride, "taps": taps, "padding": padding}


class Reduction(nnx.Module):
    """Convolution, BatchNorm, ReLU, with the downsampling operator where its placement says.

    An operator that convolves is the convolution, unless it is "added": then it is a layer with BatchNorm and ReLU of its own
    before it. Any other stands "after" the ReLU, or "before" the convolution, which then runs on the small map.
    """

    def __init__(
        self,
        config: ModelConfig,
        in_features: int,
        out_features: int,
        *,
        down: Downsampling,
        kernel_size: int,
        relu: bool,
        streams: NamedStreams,
    ):
        options = down.options(config.padding)
        norm = batch_norm(config, out_features)
        self.relu = relu
        self.out_features = out_features
        added = down.operator.convolves and down.placement == "added" and max(down.stride) > 1
        if down.operator.convolves and not added:
            # A window chosen for the operator is for where it downsamples, and not for the 1 x 1 projection of a shortcut.
            chosen = down.window if kernel_size > 1 and max(down.stride) > 1 else None
            conv = down.operator(
                in_features, out_features, window=chosen or kernel_size, rngs=streams.rngs("conv"), **options
            )
            self.layers = nnx.List([conv, norm])
            return
        first = down.placement != "after"
        pool = down.operator(
            in_features if first else out_features, window=down.window, rngs=streams.rngs("downsample"), **options
        )
        conv = StridedConv(
            pool.out_features if first else in_features,
            out_features,
            stride=1,
            window=kernel_size,
            padding=config.padding,
            rngs=streams.rngs("conv"),
        )
        if added:
            self.layers = nnx.List([pool, batch_norm(config, pool.out_features), conv, norm])
        elif first:
            self.layers = nnx.List([pool, conv, norm])
        else:
            self.layers = nnx.List([conv, norm, pool])
            self.out_features = pool.out_features

    def __call__(
        self, x: Array, *, train: bool, key: Array | None, index: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Return the output and the phases that an adaptive operator chose (or was given as ``index``)."""
        layer: Any  # BatchNorm, or anything that is called like a `Downsample`
        for layer in self.layers:
            if isinstance(layer, BatchNorm):
                x = layer(x, use_running_average=not train)
                x = nnx.relu(x) if self.relu else x
            else:
                index = layer.select(x, train=train, key=key) if index is None else index
                x = layer(x, train=train, key=key, index=index)
        return x, index


class Block(nnx.Module):
    """A residual block: `Reduction`, a 3 x 3 convolution, BatchNorm, plus the shortcut, ReLU (He et al. 2016, basic block).

    Where the shape changes, the shortcut is what the operator's entry in the table says and a 1 x 1 convolution; an adaptive
    operator takes the main path's phase there, and a stochastic one draws from the same key.
    """

    def __init__(
        self, config: ModelConfig, in_features: int, out_features: int, *, step: StageStep, streams: NamedStreams
    ):
        self.name = streams.prefix.strip("/")  # e.g. "stage2/block1"
        self.out_features = out_features
        strides = step.stride
        down = Downsampling(
            operator=StridedConv,  # where nothing is downsampled
            stride=strides,
            dilation=step.first_dilation,
            placement=config.placement,
            window=config.window,
            taps=config.taps,
        )
        shortcut = replace(down, placement="before")
        if max(strides) > 1:
            entry = operator_entry(config.downsample)
            down, shortcut = replace(down, operator=entry.main), replace(shortcut, operator=entry.on_shortcut)
        elif max(step.first_dilation) > 1:
            down = replace(down, operator=DilatedConv)
        reduction = partial(Reduction, config, in_features, out_features)
        self.reduction = reduction(down=down, kernel_size=3, relu=True, streams=streams.within("reduction"))
        features, rngs = self.reduction.out_features, streams.rngs("conv")
        if max(step.dilation) > 1:
            self.conv: StridedConv = DilatedConv(
                features, out_features, dilation=step.dilation, padding=config.padding, rngs=rngs
            )
        else:
            self.conv = StridedConv(features, out_features, stride=1, padding=config.padding, rngs=rngs)
        self.norm = batch_norm(config, out_features)
        self.residual = config.residual
        if config.residual and (max(strides) > 1 or in_features != out_features):
            self.shortcut: Reduction | None = reduction(
                down=shortcut, kernel_size=1, relu=False, streams=streams.within("shortcut")
            )
        else:
            self.shortcut = None

    @property
    def main_path(self) -> list[Any]:
        """The layers of the main path up to the sum."""
        return [*self.reduction.layers, self.conv]

    def __call__(self, x: Array, *, train: bool, key: Array | None) -> Array:
        """Map ``[batch, height, width, in_features]`` to ``[batch, height / s, width / s, out_features]``."""
        return self.with_phase(x, train=train, key=key)[0]

    def with_phase(self, x: Array, *, train: bool, key: Array | None) -> tuple[Array, Array | None]:
        """Return the output and the phases that an adaptive operator chose, None for all others."""
        y, index = self.reduction(x, train=train, key=key)
        y = self.norm(self.conv(y), use_running_average=not train)
        if not self.residual:
            return nnx.relu(y), index
        if self.shortcut is not None:
            x, _ = self.shortcut(x, train=train, key=key, index=index)
        return nnx.relu(y + x), index


class MiniResNet(nnx.Module):
    """The network under study.

    Args:
        config: its shape; the default is the strided baseline.
        classes: number of logits.
        key: PRNG key of the initial values. Layers shared by two configs start equal under the same key.
        in_features: image channels.
    """

    title: ClassVar[str] = "mini-ResNet"
    global_pool: ClassVar[str] = "mean"  # over all positions of the last map, before the classifier

    def __init__(self, config: ModelConfig, *, classes: int = 10, key: Array, in_features: int = 3):
        streams = NamedStreams(key)
        self.deterministic = True  # in evaluation, until ``.train()``
        self.in_features = in_features
        self.dtype = jnp.dtype(config.dtype)
        strides = per_axis(config.stem.stride, 2, "stem.stride")
        operator = downsampler(config.stem.downsample) if max(strides) > 1 else StridedConv
        self.stem = Reduction(
            config,
            in_features,
            config.stem.width or config.widths[0],
            down=Downsampling(operator=operator, stride=strides, placement="after"),
            kernel_size=config.stem.kernel,
            relu=True,
            streams=streams.within("stem"),
        )
        features = self.stem.out_features
        if config.stem.pool is None:
            self.stem_pool: Downsample | None = None
        else:
            pool = downsampler(config.stem.pool)
            self.stem_pool = pool(features, stride=2, padding=config.padding, rngs=streams.rngs("stem_pool"))
            features = self.stem_pool.out_features
        blocks: list[Any] = []
        levels = [Level(map=0, features=features, first=0)]
        for stage, step in enumerate(config.stage_steps()):
            if max(step.stride) > 1:
                levels.append(Level(map=0, features=0, first=len(blocks) + 1))
            blocks += self._stage(config, stage, features, step, streams.within(f"stage{stage + 1}"))
            features = blocks[-1].out_features
            levels[-1] = replace(levels[-1], map=len(blocks), features=features)
        self.blocks = nnx.List(blocks)
        self.classifies_pixels = config.decoder is not None
        if config.decoder == "unet":
            self.skips = tuple(level.map for level in levels[-2::-1])
            self.phases = tuple(level.first for level in levels[:0:-1])
            self.ups: nnx.List | None = nnx.List(self._way_up(config, levels, streams))
            features = levels[0].features
        else:
            self.skips, self.phases, self.ups = (), (), None
        self.head = nnx.Linear(features, classes, rngs=streams.rngs("head"))

    def _stage(
        self, config: ModelConfig, stage: int, features: int, step: StageStep, streams: NamedStreams
    ) -> list[nnx.Module]:
        """Return the blocks of the stage with that number from 0, the first of which takes ``features`` channels."""
        blocks: list[nnx.Module] = []
        for number in range(config.blocks[stage]):
            part = streams.within(f"block{number + 1}")
            blocks.append(Block(config, features, config.widths[stage], step=step, streams=part))
            features, step = config.widths[stage], step.after_first()
        return blocks

    def _way_up(self, config: ModelConfig, levels: list[Level], streams: NamedStreams) -> list[UpStep]:
        """Return the steps from the last level up to the first."""
        fields = self.map_fields(NOMINAL_SIZE)
        steps = []
        for place in range(len(levels) - 1, 0, -1):
            coarse, fine = levels[place], levels[place - 1]
            part = streams.within(f"up{place}")
            up = make_upsampler(config, coarse, fine, (fields[coarse.map], fields[fine.map]), part.rngs("upsample"))
            fuse = Reduction(
                config,
                up.out_features + fine.features,
                fine.features,
                down=Downsampling(operator=StridedConv, stride=(1, 1), placement="after"),
                kernel_size=3,
                relu=True,
                streams=part.within("fuse"),
            )
            steps.append(UpStep(up, fuse))
        return steps

    def __call__(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> Array:
        """Return logits ``[batch, classes]``, or ``[batch, height, width, classes]`` of a net with a decoder, float32.

        Args:
            x: images ``[batch, height, width, in_features]``, floating point, normalised as in training.
            train: True normalises by the batch and updates the running statistics; None follows ``.train()`` and
                ``.eval()``, and a new model is in evaluation.
            key: randomness, for stochastic operators in training.

        Raises:
            ValueError: images of whole numbers, which nobody has normalised, or training a stochastic operator without a key.
        """
        maps, phases = self._way_down(x, train=train, key=key)
        if not self.classifies_pixels:
            return self._classify(maps[-1])
        train = not self.deterministic if train is None else train
        y, place = maps[-1], len(maps) - 1
        if self.ups is not None:
            for up, place, phase in zip(self.ups, self.skips, self.phases, strict=True):
                y = up(y, maps[place], index=phases[phase], train=train)
        size = x.shape[1:3]
        return interpolate_to_image(self.head(y.astype(jnp.float32)), self.map_fields(size)[place], size)

    def _classify(self, x: Array) -> Array:
        """Return the logits of the last map."""
        return self.head(x.mean((1, 2), dtype=jnp.float32))

    def map_fields(self, size: Sequence[int]) -> list[Fields]:
        """Return where the pixels of each of `maps` lie on an image of ``size``, and what they see of it on the main path."""
        chains = [[*self.stem.layers, self.stem_pool]]
        for block in self.blocks:
            chains.append(block.main_path)
        fields: Fields = (Field(), Field())
        found = []
        for chain in chains:
            for layer in chain:
                if isinstance(layer, Downsample):
                    passes = layer.passes(size)
                    fields = receptive_fields(passes, fields)
                    for one in passes:
                        size = one.output_size(size)
            found.append(fields)
        return found

    def features(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> Array:
        """Return the last feature map ``[batch, height / 8, width / 8, channels]`` (for three halvings)."""
        return self.maps(x, train=train, key=key)[-1]

    def maps(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> list[Array]:
        """Return the feature maps behind the stem (with its pool) and each block, ``[batch, rows, columns, channels]``."""
        return self._way_down(x, train=train, key=key)[0]

    def _way_down(self, x: Array, *, train: bool | None, key: Array | None) -> tuple[list[Array], list[Array | None]]:
        """Return `maps`, and for each the phases that an adaptive operator before it chose."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"{type(self).__name__} takes normalised floating-point images, got {x.dtype}; "
                "see strideflax.data.augment.normalize"
            )
        train = not self.deterministic if train is None else train
        keys = [None if key is None else jax.random.fold_in(key, i) for i in range(2 + len(self.blocks))]
        x, _ = self.stem(x.astype(self.dtype), train=train, key=keys[0])
        if self.stem_pool is not None:
            x = self.stem_pool(x, train=train, key=keys[1])
        maps = [x]
        phases: list[Array | None] = [None]
        for block, block_key in zip(self.blocks, keys[2:], strict=True):
            y, phase = block.with_phase(maps[-1], train=train, key=block_key)
            maps.append(y)
            phases.append(phase)
        return maps, phases


def batch_norm(config: ModelConfig, features: int) -> BatchNorm:
    """Return BatchNorm that computes statistics in float32 and answers in the model's type."""
    return BatchNorm(features, momentum=config.batch_norm_momentum, dtype=jnp.dtype(config.dtype), rngs=nnx.Rngs(0))


def check_strides(config: ModelConfig, size: Sequence[int]) -> None:
    """Raise a ValueError if a stride is larger than the map it would act on, so that a single pixel were left of it."""
    steps = [("model.stem.stride", config.stem.stride)]
    if config.stem.pool is not None:
        steps.append(("model.stem.pool", 2))
    steps += [(f"model.strides[{i}]", stride) for i, stride in enumerate(config.strides)]
    current = tuple(size)
    for name, stride in steps:
        strides = per_axis(stride, 2, name)
        if any(s > n for s, n in zip(strides, current, strict=True)):
            raise ConfigError(
                f"config.{name} empties the map: a stride of {stride} on {current[0]} x {current[1]} pixels leaves nothing "
                f"between the samples; allowed here: 1..{min(current)}"
            )
        current = tuple(-(-n // s) for n, s in zip(current, strides, strict=True))
