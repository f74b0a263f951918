"""The tables of ``RESULTS.md`` on masks and on where strides stand, from the shipped runs."""

from collections.abc import Mapping

import pandas as pd
import stride_study as study
from stride_choices import CHOICES, compare
from table_cells import gain, table

from strideflax import results
from strideflax.analysis.ablation import BASELINE

MISSING = "–"
SMALL = "recall of objects under 64 px"
# Output stride, decoder and score of each column of gains.
SCENES = {
    "output stride 4": (4, "resize", study.IOU),
    "output stride 8": (8, "resize", study.IOU),
    "output stride 16": (16, "resize", study.IOU),
    "output stride 8, U-Net": (8, "unet", study.IOU),
    "boundary F within 1 px, 8": (8, "resize", study.BOUNDARY),
    "boundary F, 8, U-Net": (8, "unet", study.BOUNDARY),
}
CAMVID = {
    "mean IoU": (8, "resize", study.IOU),
    "boundary F within 1 px": (8, "resize", study.BOUNDARY),
    SMALL: (8, "resize", study.SMALL),
    "same class under shifts": (8, "resize", study.MASK_SHIFTS),
    "mean IoU, U-Net": (8, "unet", study.IOU),
    "boundary F, U-Net": (8, "unet", study.BOUNDARY),
}
CAMVID_SCORES = {
    "mean IoU": study.IOU,
    "boundary F within 1 px": study.BOUNDARIES[1],
    "2 px": study.BOUNDARIES[2],
    "3 px": study.BOUNDARIES[3],
    SMALL: study.SMALL,
    "same class under shifts": study.MASK_SHIFTS,
}


def output_stride_table() -> str:
    """Return a Markdown table: one row per output stride on scenes, by strides and by dilation; last what a doubling costs."""
    runs = study.read_study(results.shipped("segment_scenes"))
    by_strides, by_dilation = (study.curve(runs, way) for way in (study.BY_STRIDES, study.BY_DILATION))
    columns = [
        (by_strides, study.IOU),
        (by_strides, study.BOUNDARY),
        (by_strides, study.SMALL),
        (by_dilation, study.IOU),
    ]
    rows = []
    for output_stride in sorted(by_strides[study.OUTPUT_STRIDE].unique()):
        cells = [str(output_stride)]
        for curve, value in columns:
            cells.append(_mean_and_step(curve, output_stride, value))
        rows.append([*cells, _macs(by_strides, output_stride), _macs(by_dilation, output_stride)])
    halvings = [gain(vars(study.per_halving(curve, value))) for curve, value in columns]
    names = ["mean IoU", "boundary F within 1 px", SMALL, "mean IoU by dilation"]
    head = ["output stride", *names, "MACs", "by dilation"]
    return table(head, [*rows, ["each doubling", *halvings, "", ""]])


def camvid_stride_table() -> str:
    """Return a Markdown table: one row per output stride on CamVid, what a doubling costs, and a U-Net beside interpolation."""
    runs = study.read_study(results.shipped("segment_camvid"))
    curve = study.curve(runs, study.BY_STRIDES)
    rows = []
    for output_stride in sorted(curve[study.OUTPUT_STRIDE].unique()):
        cells = [_mean_and_step(curve, output_stride, value) for value in CAMVID_SCORES.values()]
        rows.append([str(output_stride), *cells, _macs(curve, output_stride)])
    halvings = [gain(vars(study.per_halving(curve, value))) for value in CAMVID_SCORES.values()]
    skips = study.cell(runs, 8, "unet")
    skips = skips[skips[study.NET] == BASELINE]
    cells = []
    for value in CAMVID_SCORES.values():
        if skips[value].isna().any():
            cells.append(MISSING)
        else:
            cells.append(f"{_percent(skips[value].mean())}; {gain(vars(study.gain_of_skips(runs, 8, value)))}")
    rows += [["each doubling", *halvings, ""], ["8, U-Net", *cells, _macs(skips, 8)]]
    return table(["output stride", *CAMVID_SCORES, "MACs"], rows)


def _mean_and_step(curve: pd.DataFrame, output_stride: int, value: str) -> str:
    """Return a value's mean over seeds, and its change from the next finer output stride."""
    mean = _percent(curve.loc[curve[study.OUTPUT_STRIDE] == output_stride, value].mean())
    step = study.steps(curve, value).get(output_stride)
    return mean if step is None else f"{mean}; {gain(vars(step))}"


def _macs(curve: pd.DataFrame, output_stride: int) -> str:
    return f"{curve.loc[curve[study.OUTPUT_STRIDE] == output_stride, 'macs'].iloc[0] / 1e6:.1f} M"


def operators_table(name: str, columns: Mapping[str, tuple[int, str, str]]) -> str:
    """Return a Markdown table: one row per operator and place of the study ``name``, with its gains over the strided net.

    ``columns`` holds an output stride, a decoder and a score by heading.
    """
    runs = study.read_study(results.shipped(name))
    strided, gains = [], []
    for output_stride, decoder, value in columns.values():
        cell = study.cell(runs, output_stride, decoder)
        strided.append(_percent(cell.loc[cell[study.NET] == BASELINE, value].mean()))
        gains.append(study.gains(runs, output_stride, decoder, value))
    macs = study.cell(runs, 8, "resize").groupby(study.NET)["macs"].first()
    rows = [[f"`{BASELINE}`", *strided, "1.00"]]
    for net in macs.index.drop(BASELINE):
        cells = [gain(column.loc[net]) if net in column.index else MISSING for column in gains]
        rows.append([_in_words(net), *cells, f"{macs[net] / macs[BASELINE]:.2f}"])
    return table(["operator", *columns, "MACs at 8"], rows)


def choices_table() -> str:
    """Return a Markdown table: one row per choice of where a stride stands, with its gain in accuracy and its cost."""
    runs = results.shipped("stride_choices_shapes")
    rows = []
    for choice in CHOICES:
        found = compare(runs, choice)
        accuracies = f"{_percent(found.before)} → {_percent(found.after)}"
        pairs = str(found.difference.pairs)
        rows.append(
            [f"{choice.group}: {choice.text}", accuracies, gain(vars(found.difference)), pairs, f"{found.macs:.2f}"]
        )
    return table(["choice", "accuracy", "gain, 95 % interval", "pairs", "MACs"], rows)


def _in_words(net: str) -> str:
    """Return "blur_pool, after" as a table names it."""
    operator, _, place = net.partition(", ")
    return f"`{operator}`, {place} the convolution" if place else f"`{operator}`"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
