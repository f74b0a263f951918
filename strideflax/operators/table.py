"""The tables of operators: what each that downsamples is on a block's main path and on its shortcut, and the ways back up.

A new operator adds one file and one line here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from strideflax.operators.ada_pool import AdaPool
from strideflax.operators.base import Downsample, Resampling
from strideflax.operators.blur import BlurPool, MaxBlur
from strideflax.operators.blur_up import BlurUpsample
from strideflax.operators.composed import BlurProjection, ConvBlur, MeanProjection, ResNetD
from strideflax.operators.geometry import per_axis
from strideflax.operators.interpolate import LinearUpsample, NearestUpsample
from strideflax.operators.mixed import GatedPool, MaxAvg, MixedPool
from strideflax.operators.norm import GeMPool, L2Pool
from strideflax.operators.pixel_adaptive import PASA
from strideflax.operators.polyphase import AdaptivePolyphase, LearnedPolyphase, Polyphase
from strideflax.operators.polyphase_up import PolyphaseUpsample
from strideflax.operators.pool import AvgPool, MaxPool
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth
from strideflax.operators.rearrange_up import DepthToSpace
from strideflax.operators.resize import Resize
from strideflax.operators.soft_polyphase import TIPS
from strideflax.operators.spectral import ASAP, DiffStride, SpectralPool
from strideflax.operators.spectral_up import SpectralUpsample
from strideflax.operators.strided import ConvPool, StridedConv, Subsample
from strideflax.operators.transposed import TransposedConv
from strideflax.operators.upsample import Upsample
from strideflax.operators.wavelet import Bior33Low, Db2All, Db2Low
from strideflax.operators.wavelet_up import Db2Upsample, HaarUpsample
from strideflax.operators.weighted import LIP, SoftPool, StochasticPool
from strideflax.wording import did_you_mean

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Operator:
    """An operator's entry in the table.

    Attributes:
        main: the module on a block's main path, and what `downsampler` returns.
        shortcut: the module on the shortcut where it is another one; None: `main`.
        upsampler: the name of its way back in `UPSAMPLERS`; of a filter "linear", best at the filter's own phase.
        counterpart: the name there of what a U-Net goes up by where its config does not say: the operator's transpose, or what
            spreads a value over the pixels that it was taken from; "linear" of all others.
    """

    main: type[Downsample]
    shortcut: type[Downsample] | None = None
    upsampler: str = "linear"
    counterpart: str = "linear"

    @property
    def on_shortcut(self) -> type[Downsample]:
        """The module on the shortcut."""
        return self.shortcut or self.main


DOWNSAMPLERS: dict[str, Operator] = {
    "strided_conv": Operator(StridedConv, counterpart="transposed_conv"),
    "subsample": Operator(Subsample),
    "max_pool": Operator(MaxPool, counterpart="nearest"),
    "avg_pool": Operator(AvgPool, counterpart="nearest"),
    "conv_pool": Operator(ConvPool),
    "blur_pool": Operator(BlurPool, counterpart="blur"),
    "max_blur": Operator(MaxBlur, counterpart="blur"),
    "conv_blur": Operator(ConvBlur, shortcut=BlurProjection, counterpart="blur"),
    "resnet_d": Operator(ResNetD, shortcut=MeanProjection, counterpart="transposed_conv"),
    "l2_pool": Operator(L2Pool),
    "gem_pool": Operator(GeMPool),
    "max_avg": Operator(MaxAvg),
    "mixed_pool": Operator(MixedPool),
    "gated_pool": Operator(GatedPool),
    "soft_pool": Operator(SoftPool),
    "stochastic_pool": Operator(StochasticPool),
    "ada_pool": Operator(AdaPool),
    "lip": Operator(LIP),
    "pasa": Operator(PASA),
    "resize": Operator(Resize),
    "spectral_pool": Operator(SpectralPool, upsampler="spectral"),
    "asap": Operator(ASAP, upsampler="spectral"),
    "diff_stride": Operator(DiffStride, upsampler="spectral"),
    # The shortcut takes the phase that the main path chose.
    "aps": Operator(AdaptivePolyphase, shortcut=Polyphase, upsampler="polyphase", counterpart="polyphase"),
    "lps": Operator(LearnedPolyphase, shortcut=Polyphase, upsampler="polyphase", counterpart="polyphase"),
    "tips": Operator(TIPS),
    "space_to_depth": Operator(SpaceToDepth, upsampler="depth_to_space"),
    "haar_low": Operator(HaarLow),
    "haar_all": Operator(HaarAll, upsampler="haar"),
    "db2_low": Operator(Db2Low),
    "db2_all": Operator(Db2All, upsampler="db2"),
    "bior33_low": Operator(Bior33Low),
}

UPSAMPLERS: dict[str, type[Upsample]] = {
    "nearest": NearestUpsample,
    "linear": LinearUpsample,
    "blur": BlurUpsample,
    "transposed_conv": TransposedConv,
    "polyphase": PolyphaseUpsample,
    "spectral": SpectralUpsample,
    "depth_to_space": DepthToSpace,
    "haar": HaarUpsample,
    "db2": Db2Upsample,
}


def operator_entry(name: str) -> Operator:
    """Return the entry of the operator called ``name``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    return _named(name, DOWNSAMPLERS, "downsampling")


def downsampler(name: str) -> type[Downsample]:
    """Return the module class of the operator called ``name``: what stands on a block's main path.

    Raises:
        ValueError: there is none; the message lists all.
    """
    return operator_entry(name).main


def operator_name(kind: type[Resampling]) -> str:
    """Return an operator's name by its class, or by its shortcut's if no other has that; else the class's own name."""
    shortcut_of = []
    for name, entry in DOWNSAMPLERS.items():
        if kind is entry.main:
            return name
        if kind is entry.shortcut:
            shortcut_of.append(name)
    for name, upsampling in UPSAMPLERS.items():
        if kind is upsampling:
            return name
    return shortcut_of[0] if len(shortcut_of) == 1 else kind.__name__


def way_back(name: str, layer: Downsample, map_size: Sequence[int]) -> Upsample:
    """Return the layer that takes the output of ``layer``, the operator called ``name``, back to maps of ``map_size``.

    It has the stride, padding and phase of ``layer``. What it makes of two maps or more with a size of their own, each call
    says by ``size``; behind an adaptive operator each call hands it the ``index`` too.

    Raises:
        ValueError: an unknown name, a layer that is another operator, or a size that is not one of its maps.

    >>> import jax.numpy as jnp
    >>> blur = downsampler("blur_pool")(8)
    >>> up = way_back("blur_pool", blur, (7, 7))
    >>> up(blur(jnp.ones((1, 7, 7, 8))), size=(7, 7)).shape
    (1, 7, 7, 8)
    """
    entry = operator_entry(name)
    if not isinstance(layer, (entry.main, entry.on_shortcut)):
        raise ValueError(f"layer must be the operator {name}, {entry.main.__name__}, got {type(layer).__name__}")
    cls = upsampler(entry.upsampler)
    phase = layer.phase(per_axis(map_size, len(layer.stride), "map_size"))
    if cls is not LinearUpsample or phase is None:
        return cls(layer.out_features, stride=layer.stride, padding=layer.padding)
    reachable = [min(max(p, 0.0), s - 1.0) for p, s in zip(phase, layer.stride, strict=True)]
    return LinearUpsample(layer.out_features, stride=layer.stride, phase=reachable, padding=layer.padding)


def upsampler(name: str) -> type[Upsample]:
    """Return the module class of the upsampling operator called ``name``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    return _named(name, UPSAMPLERS, "upsampling")


def _named(name: str, table: Mapping[str, Entry], kind: str) -> Entry:
    if name not in table:
        raise ValueError(f"unknown {kind} operator {name!r}; known: {', '.join(table)}{did_you_mean(name, table)}")
    return table[name]
