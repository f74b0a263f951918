"""Rows of what makes a class for each pixel of feature maps: enlarged maps, maps side by side, a linear layer per position.

What an enlarged map's pixel depends on is given as a box that holds it at every phase: the filter that spreads a coarse pixel
over the fine map reaches as far in one direction as in the other.
"""

import math
from dataclasses import replace

from strideflax.inspection.record import Layer
from strideflax.model.decoder import Fields
from strideflax.operators.interpolate import LinearUpsample
from strideflax.operators.receptive_field import Field, merge_fields
from strideflax.operators.table import operator_name
from strideflax.operators.upsample import Upsample


def upsampled(layer: Upsample, name: str, before: Layer, size: tuple[int, int], params: int = 0) -> Layer:
    """Return the row of an upsampling operator that makes a map of ``size``."""
    phases = layer.phase() or tuple((s - 1) / 2 for s in layer.stride)  # of one chosen per image, the middle
    fields = []
    for field, step, phase, taps in zip(before.fields, layer.stride, phases, _taps(layer), strict=True):
        jump = field.jump // step
        start = field.start - phase * jump
        fields.append(Field(size=field.size + (taps - 1) * jump, jump=jump, start=start))
    return replace(
        before,
        name=name,
        operator=f"{operator_name(type(layer)).lower()}_up",
        output=(*size, layer.out_features),
        fields=tuple(fields),
        params=params,
        macs=layer.macs(before.size),
        padding_macs=0,
    )


def _taps(layer: Upsample) -> tuple[int, ...]:
    """Return how many fine pixels the filter of a coarse one reaches, per axis."""
    if not isinstance(layer, LinearUpsample):
        return layer.window
    return tuple(
        2 * s - 1 if phase == int(phase) else 2 * s for s, phase in zip(layer.stride, layer.phase(), strict=True)
    )


def side_by_side(name: str, raised: Layer, skip: Layer) -> Layer:
    """Return the row of both maps' channels together."""
    fields: Fields = tuple(merge_fields(a, b)[0] for a, b in zip(raised.fields, skip.fields, strict=True))
    channels = raised.output[2] + skip.output[2]
    return Layer(name=name, operator="concat", output=(*skip.size, channels), fields=fields, dtype=skip.dtype)


def linear_per_position(name: str, before: Layer, classes: int, params: int) -> Layer:
    """Return the row of a linear layer at each position of a map, in float32."""
    return Layer(
        name=name,
        operator="linear",
        output=(*before.size, classes),
        fields=before.fields,
        dtype="float32",
        params=params,
        macs=math.prod(before.output) * classes,
    )
