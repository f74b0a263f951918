"""The runs of ``configs/segment_study.py`` read: what each net is, what a halving costs, what an operator gains."""

import numpy as np
import pandas as pd

from strideflax import results, statistics
from strideflax.analysis.ablation import BASELINE

IOU = "test_mean_iou"
BOUNDARIES = {distance: f"segmentation.boundary_score.{distance}_px" for distance in (1, 2, 3)}  # by distance in pixels
BOUNDARY = BOUNDARIES[1]
SMALL = "segmentation.objects.small.recall"
MASK_SHIFTS = "mask_shifts.reflect.consistency"
OUTPUT_STRIDE, WAY, NET = "output_stride", "way", "net"
BY_STRIDES, BY_DILATION = "strides", "dilation"
OPERATORS = ("blur_pool", "max_pool", "avg_pool")


def read_study(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with ``output_stride``, the ``way`` to it, and the ``net``, an operator and its place, as columns."""
    strides, ways, nets = [], [], []
    for run in runs.to_dict("records"):
        of_stages = int(np.prod(run["model.strides"]))
        kept = run.get("model.output_stride")
        is_dilated = isinstance(kept, (int, float)) and kept > 0
        strides.append(int(kept) if is_dilated else int(run["model.stem.stride"]) * of_stages)
        ways.append(BY_DILATION if is_dilated else BY_STRIDES)
        operator, placement = run["model.downsample"], run["model.placement"]
        nets.append(operator if operator == BASELINE else f"{operator}, {placement}")
    return runs.assign(**{OUTPUT_STRIDE: strides, WAY: ways, NET: nets})


def curve(runs: pd.DataFrame, way: str) -> pd.DataFrame:
    """Return the strided nets with an interpolated last map, by ``way``; the net without dilation ends both curves."""
    plain = runs[(runs[NET] == BASELINE) & (runs["model.decoder"] == "resize")]
    coarsest = plain[OUTPUT_STRIDE].max()
    return plain[(plain[WAY] == way) | (plain[OUTPUT_STRIDE] == coarsest)].sort_values(OUTPUT_STRIDE)


def per_halving(runs: pd.DataFrame, value: str) -> statistics.Difference:
    """Return what ``value`` changes by for each doubling of the output stride: a line's slope, fitted to each seed alone."""
    table = runs.pivot(index="seed", columns=OUTPUT_STRIDE, values=value)
    doublings = np.log2(table.columns.to_numpy(float))
    return statistics.paired_difference(np.polyfit(doublings, table.to_numpy(float).T, 1)[0])


def steps(runs: pd.DataFrame, value: str) -> dict[int, statistics.Difference]:
    """Return for each output stride the difference from the next finer one, in pairs of a seed."""
    table = runs.pivot(index="seed", columns=OUTPUT_STRIDE, values=value)
    found = {}
    for fine, coarse in zip(table.columns[:-1], table.columns[1:], strict=True):
        found[int(coarse)] = statistics.paired_difference((table[coarse] - table[fine]).to_numpy(float))
    return found


def cell(runs: pd.DataFrame, output_stride: int, decoder: str) -> pd.DataFrame:
    """Return the runs without dilation that have this output stride and decoder."""
    same = (runs[OUTPUT_STRIDE] == output_stride) & (runs["model.decoder"] == decoder)
    return runs[same & (runs[WAY] == BY_STRIDES)]


def gains(runs: pd.DataFrame, output_stride: int, decoder: str, value: str) -> pd.DataFrame:
    """Return the gains in ``value`` over the strided net, in pairs of a seed, by `NET`; see `statistics.compare_paired`."""
    known = cell(runs, output_stride, decoder).dropna(subset=[value])
    return statistics.compare_paired(known, BASELINE, NET, value).set_index(NET)


def gain_of_skips(runs: pd.DataFrame, output_stride: int, value: str) -> statistics.Difference:
    """Return what a U-Net gains over interpolation at the same output stride, by strided convolutions, in pairs of a seed."""
    by_decoder = []
    for decoder in ("unet", "resize"):
        nets = cell(runs, output_stride, decoder)
        by_decoder.append(nets[nets[NET] == BASELINE].set_index("seed")[value])
    unet, resize = by_decoder
    return statistics.paired_difference((unet - resize).to_numpy(float))


def gains_of_classification() -> dict[str, pd.DataFrame]:
    """Return the gains in accuracy by `NET`: on drawn shapes with random crops, on CIFAR-10 without."""
    behind, shapes = results.shipped("ablation_cifar10"), results.shipped("ablation_shapes")
    cifar = pd.concat([behind[behind["augment.crop"] == 0], results.shipped("equal_cost_cifar10")], ignore_index=True)
    found = {}
    for images, runs in (("drawn shapes", shapes[shapes["augment.crop"] == 4]), ("CIFAR-10", cifar)):
        known = read_study(runs[runs["model.downsample"].isin([BASELINE, *OPERATORS])])
        found[images] = statistics.compare_paired(known, BASELINE, NET).set_index(NET)
    return found
