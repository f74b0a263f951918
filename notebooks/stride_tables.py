"""The tables of ``RESULTS.md`` on masks and on where strides stand, from the shipped runs."""

import pandas as pd
import stride_study as study
from stride_choices import CHOICES, compare
from table_cells import gain, table

from strideflax import results, statistics
from strideflax.analysis.ablation import BASELINE

SETTINGS = {  # output stride and decoder of each column of gains
    "output stride 8": (8, "resize"),
    "output stride 16": (16, "resize"),
    "output stride 8, U-Net": (8, "unet"),
}


def output_stride_table() -> str:
    """Return a Markdown table: one row per output stride on scenes, by strides and by dilation; last what a doubling costs."""
    runs = study.read_study(results.shipped("segment_scenes"))
    rows, halvings = [], []
    curves = [study.curve(runs, way) for way in (study.BY_STRIDES, study.BY_DILATION)]
    for output_stride in sorted(curves[0][study.OUTPUT_STRIDE].unique()):
        cells = [str(output_stride)]
        for curve in curves:
            cells += _mean_step_and_macs(curve, output_stride)
        rows.append(cells)
    for curve in curves:
        halvings += ["", gain(vars(study.per_halving(curve, study.IOU))), ""]
    head = ["output stride", "mean IoU", "change", "MACs", "by dilation: mean IoU", "change", "MACs"]
    return table(head, [*rows, ["each doubling", *halvings]])


def _mean_step_and_macs(curve: pd.DataFrame, output_stride: int) -> list[str]:
    """Return the mean IoU over seeds, its change from the next finer output stride, and the multiply-adds."""
    chosen = curve[curve[study.OUTPUT_STRIDE] == output_stride]
    step = study.steps(curve, study.IOU).get(output_stride)
    change = "" if step is None else gain(vars(step))
    return [_percent(chosen[study.IOU].mean()), change, f"{chosen['macs'].iloc[0] / 1e6:.1f} M"]


def operators_table() -> str:
    """Return a Markdown table: one row per operator and place, with its gains in mean IoU over the strided net."""
    runs = study.read_study(results.shipped("segment_scenes"))
    head, first, columns = ["operator"], [f"`{BASELINE}`"], []
    for name, (output_stride, decoder) in SETTINGS.items():
        cell = study.cell(runs, output_stride, decoder)
        head.append(name)
        first.append(_percent(cell.loc[cell[study.NET] == BASELINE, study.IOU].mean()))
        columns.append(statistics.compare_paired(cell, BASELINE, study.NET, study.IOU).set_index(study.NET))
    macs = study.cell(runs, 8, "resize").groupby(study.NET)["macs"].first()
    rows = [[*first, "1.00"]]
    for net in sorted(columns[0].index):
        gains = [gain(column.loc[net]) for column in columns]
        rows.append([_in_words(net), *gains, f"{macs[net] / macs[BASELINE]:.2f}"])
    return table([*head, "MACs at 8"], rows)


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
