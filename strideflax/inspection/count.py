"""What each layer of a network sees and costs, counted from its geometry; nothing is computed on images.

Conventions, the same for every row:

* MACs are multiply-adds of one image, taps on zero padding included (their share is given beside); FLOPs are twice
  that. Pools count one compare or add per tap in the same column. BatchNorm (it folds into a convolution), ReLU and the
  addition of a shortcut count 0.
* Activation bytes are the layer's output for one image in the type it is computed in; ReLU works in place.
* A receptive field is theoretical: the smallest box that holds every pixel an output depends on, border effects aside.
  It may be larger than the image. Output ``i`` is centred on pixel ``start + i * jump``.

Sources: Araujo, Norris and Sim, Distill 2019 (the recursion and its merge); Dumoulin and Visin 2016 (arXiv:1603.07285).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import jax
from flax import nnx

from strideflax.errors import UserError
from strideflax.inspection.dense import linear_per_position, side_by_side, upsampled
from strideflax.inspection.record import Alignment, Inspection, Layer
from strideflax.model import Block, MiniResNet, Reduction, Transition
from strideflax.model.decoder import steps_and_phase
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import per_axis
from strideflax.operators.interpolate import LinearUpsample
from strideflax.operators.receptive_field import Field, WindowPass, merge_fields, receptive_fields
from strideflax.operators.table import operator_name
from strideflax.window import Window


class InputSizeError(UserError, ValueError):
    """An image too small for the network, or no size at all."""


def inspect_model(model: MiniResNet, size: int | Sequence[int] = (32, 32)) -> Inspection:
    """Inspect ``model``, with weights or abstract, on images of ``size``.

    Args:
        model: the network.
        size: height and width of the image, or one int for both.

    Raises:
        InputSizeError: a size that is not one, or an image too small for some layer; the message names the layer.
    """
    try:
        height, width = per_axis(size, 2, "size")
    except ValueError as error:
        raise InputSizeError(str(error)) from None
    image = Layer(
        name="image",
        operator="image",
        output=(height, width, model.in_features),
        fields=(Field(), Field()),
        dtype=model.dtype.name,
    )
    layers = _reduction(model.stem, "stem", image)
    if model.stem_pool is not None:
        layers.append(_operator(model.stem_pool, "stem_pool", layers[-1]))
    alignments, maps = [], [layers[-1]]
    for block in model.blocks:
        if isinstance(block, Transition):
            layers += _reduction(block.reduction, f"{block.name}/reduction", layers[-1])
        else:
            rows, alignment = _block(block, layers[-1])
            layers += rows
            alignments.append(alignment)
        maps.append(layers[-1])
    layers += _pixel_classifier(model, maps, image) if model.classifies_pixels else _classifier(model, maps[-1])
    return Inspection(size=(height, width), layers=tuple(layers), alignments=tuple(alignments))


def count_macs(model: MiniResNet, size: int | Sequence[int] = (32, 32)) -> int:
    """Return multiply-adds of one image of ``size``, by the conventions at the top of this module."""
    return inspect_model(model, size).macs


def count_params(model: nnx.Module) -> int:
    """Return how many numbers the network (or any layer) learns; running statistics are not learned."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _block(block: Block, before: Layer) -> tuple[list[Layer], Alignment]:
    """Return a block's rows, and how its two paths meet."""
    main = _reduction(block.reduction, f"{block.name}/reduction", before)
    main.append(_operator(block.conv, f"{block.name}/conv", main[-1]))
    main.append(_norm(block.norm, f"{block.name}/norm", main[-1]))
    if not block.residual:
        return main, Alignment(block=block.name, shift=None)
    shortcut = [] if block.shortcut is None else _reduction(block.shortcut, f"{block.name}/shortcut", before)
    beside = shortcut[-1] if shortcut else before
    vertical, down = merge_fields(main[-1].fields[0], beside.fields[0])
    horizontal, right = merge_fields(main[-1].fields[1], beside.fields[1])
    total = replace(_unchanged(f"{block.name}/add", "add", main[-1]), fields=(vertical, horizontal))
    alignment = Alignment(
        block=block.name,
        shift=(down, right),
        adaptive=any(row.adaptive for row in main),
        whole_map=any(row.whole_map for row in main),
    )
    return [*main, *shortcut, total], alignment


def _reduction(reduction: Reduction, path: str, before: Layer) -> list[Layer]:
    rows: list[Layer] = []
    for layer in reduction.layers:
        previous = rows[-1] if rows else before
        if isinstance(layer, Downsample):
            rows.append(_operator(layer, f"{path}/{'conv' if layer.convolves else 'downsample'}", previous))
        elif isinstance(layer, nnx.BatchNorm):
            rows.append(_norm(layer, f"{path}/norm", previous))
    return rows


def _operator(layer: Downsample, name: str, before: Layer) -> Layer:
    height, width = before.size
    try:
        passes = layer.passes(before.size)
    except ValueError as error:
        raise InputSizeError(f"the image is too small: {name} gets a map of {height} x {width}: {error}") from None
    size, macs, padding_macs = _cost(passes, before.size)
    larger = layer.passes((2 * height, 2 * width))
    return Layer(
        name=name,
        operator=_operator_name(layer),
        output=(*size, layer.out_features),
        fields=receptive_fields(passes, before.fields),
        dtype=before.dtype,
        params=count_params(layer),
        macs=macs,
        padding_macs=padding_macs,
        adaptive=layer.phase(before.size) is None,
        whole_map=[one.window.size for one in passes] != [one.window.size for one in larger],
    )


def _cost(passes: Sequence[WindowPass], size: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
    """Return the output size, the MACs and those on padding of ``passes`` one after the other."""
    macs = padding_macs = 0
    for one in passes:
        macs += one.macs(size)
        padding_macs += round(one.macs(size) * (1 - one.real_share(size)))
        height, width = one.output_size(size)
        size = (height, width)
    return size, macs, padding_macs


def _operator_name(layer: Downsample) -> str:
    """Return the operator's name in the table, or "conv" for a convolution without a stride."""
    if layer.convolves and max(layer.stride) == 1:
        return "conv"
    return operator_name(type(layer)).lower()


def _unchanged(name: str, operator: str, before: Layer) -> Layer:
    """Return a row that passes the map on: same output and field, no cost of its own."""
    return Layer(name=name, operator=operator, output=before.output, fields=before.fields, dtype=before.dtype)


def _norm(norm: nnx.BatchNorm, name: str, before: Layer) -> Layer:
    return replace(_unchanged(name, "batch_norm", before), params=count_params(norm))


def _pixel_classifier(model: MiniResNet, maps: Sequence[Layer], image: Layer) -> list[Layer]:
    """Return the rows of the way up, of the linear layer, and of the interpolation to the image's size."""
    rows, current, grid = list[Layer](), maps[-1], maps[-1].fields
    for number, (step, place) in enumerate(zip(model.ups or (), model.skips, strict=True), start=1):
        raised = upsampled(step.up, f"up{number}/upsample", current, maps[place].size, count_params(step.up))
        both = side_by_side(f"up{number}/concat", raised, maps[place])
        rows += [raised, both, *_reduction(step.fuse, f"up{number}/fuse", both)]
        current, grid = rows[-1], maps[place].fields
    rows.append(linear_per_position("head", current, model.head.out_features, count_params(model.head)))
    steps, phase = steps_and_phase(grid, image.fields)
    if max(steps) > 1:
        enlarge = LinearUpsample(model.head.out_features, stride=steps, phase=phase)
        rows.append(upsampled(enlarge, "resize", rows[-1], image.size))
    return rows


def _classifier(model: MiniResNet, before: Layer) -> list[Layer]:
    """Return the rows of the mean or maximum over all positions and of the linear layer, both float32."""
    height, width, channels = before.output
    window = WindowPass(window=Window.dense(before.size).at_stride(before.size), features=channels)
    pooled = Layer(
        name=model.global_pool,
        operator=f"global_{model.global_pool}",
        output=(1, 1, channels),
        fields=receptive_fields([window], before.fields),
        dtype="float32",
        macs=height * width * channels,
    )
    linear = replace(
        _unchanged("head", "linear", pooled),
        output=(1, 1, model.head.out_features),
        params=count_params(model.head),
        macs=channels * model.head.out_features,
    )
    return [pooled, linear]
