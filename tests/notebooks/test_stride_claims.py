import numpy as np
import pandas as pd
import pytest
from drawing.claim_figures import through_coarse_map
from drawing.network_costs import inspect_strides, macs_by_part
from stride_choices import Choice, compare
from stride_study import (
    BOUNDARIES,
    BOUNDARY,
    NET,
    OUTPUT_STRIDE,
    SMALL,
    WAY,
    curve,
    gain_of_skips,
    gains,
    per_halving,
    read_study,
    steps,
)

from strideflax.config_file import read_sweep
from strideflax.measuring.overlap import boundary_score
from strideflax.results import shipped


def test_a_mask_of_whole_cells_comes_back_but_for_the_corners_that_interpolation_rounds():
    masks = np.zeros((1, 16, 16), int)
    masks[0, :, 8:] = 2  # an edge between two columns of cells
    np.testing.assert_array_equal(through_coarse_map(masks, 4, 3), masks)
    np.testing.assert_array_equal(through_coarse_map(masks, 1, 3), masks)


def test_an_edge_inside_a_cell_comes_back_where_the_shares_put_it_and_a_thin_line_is_lost():
    masks = np.zeros((1, 16, 16), int)
    masks[0, :, 9:] = 1  # three of four columns of the third cell
    # Shares of class 1: 0, 0, 3/4, 1 at columns 1.5, 5.5, 9.5, 13.5; they pass 1/2 at 5.5 + 4 * 2 / 3.
    expected = (np.arange(16) > 5.5 + 4 * (1 / 2) / (3 / 4)).astype(int)
    np.testing.assert_array_equal(through_coarse_map(masks, 4, 2)[0, 8], expected)
    line = np.zeros((1, 16, 16), int)
    line[0, :, 5] = 1
    assert not through_coarse_map(line, 4, 2).any()
    assert boundary_score(line, through_coarse_map(line, 4, 2), 1) < 0.5


def test_the_parts_of_a_net_are_all_of_it_and_a_stride_moves_them():
    usual, finer = inspect_strides(2, (1, 2, 2)), inspect_strides(2, (1, 2, 1))
    parts = macs_by_part(usual)
    assert list(parts) == ["stem", "stage1", "stage2", "stage3", "classifier"]
    assert sum(parts.values()) == usual.macs
    assert macs_by_part(finer)["stage3"] == 4 * parts["stage3"]
    assert macs_by_part(finer)["stage2"] == parts["stage2"]


def study(**values: list) -> pd.DataFrame:
    """Two seeds of the strided net at output strides 4 and 8, and of one by dilation at 4."""
    rows = []
    for seed in (0, 1):
        for strides, kept in (((1, 1, 2), None), ((1, 2, 2), None), ((1, 2, 2), 4)):
            rows.append({"model.strides": strides, "model.output_stride": kept, "seed": seed})
    usual = {"model.stem.stride": 2, "model.downsample": "strided_conv", "model.placement": "after"}
    return pd.DataFrame(rows).assign(**usual, **{"model.decoder": "resize"}, **values)


def test_runs_are_told_apart_by_output_stride_and_the_way_to_it():
    runs = read_study(study(score=[0.0] * 6))
    assert runs[OUTPUT_STRIDE].tolist() == [4, 8, 4] * 2
    assert runs[WAY].tolist() == ["strides", "strides", "dilation"] * 2
    assert set(runs[NET]) == {"strided_conv"}
    pooled = study(score=[0.0] * 6).assign(**{"model.downsample": "blur_pool", "model.placement": "before"})
    assert set(read_study(pooled)[NET]) == {"blur_pool, before"}


def test_a_halving_costs_what_the_values_fall_by_in_each_seed():
    runs = read_study(study(score=[0.9, 0.7, 0.8, 0.5, 0.4, 0.6]))
    by_strides = per_halving(curve(runs, "strides"), "score")
    assert by_strides.difference == pytest.approx((-0.2 - 0.1) / 2)
    assert by_strides.pairs == 2
    assert steps(curve(runs, "strides"), "score")[8].difference == pytest.approx(-0.15)
    by_dilation = per_halving(curve(runs, "dilation"), "score")  # both end at the net without dilation
    assert by_dilation.difference == pytest.approx((-0.1 - 0.2) / 2)


def test_operators_and_skips_are_compared_in_pairs_of_a_seed():
    rows = []
    for seed in (1, 0):  # the order of runs does not matter
        for decoder, operator, score in (
            ("resize", "strided_conv", 0.5),
            ("resize", "blur_pool", 0.6 + 0.1 * seed),
            ("unet", "strided_conv", 0.8 - 0.1 * seed),
        ):
            rows.append(
                {"seed": seed, "model.decoder": decoder, "model.downsample": operator, "score": score + seed / 8}
            )
    usual = {"model.stem.stride": 2, "model.placement": "after", "model.output_stride": None}
    runs = read_study(pd.DataFrame(rows).assign(**usual, **{"model.strides": [(1, 2, 2)] * 6}))
    found = gains(runs, 8, "resize", "score")
    assert list(found.index) == ["blur_pool, after"]
    assert found.loc["blur_pool, after", "difference"] == pytest.approx((0.1 + 0.2) / 2)
    assert found.loc["blur_pool, after", "pairs"] == 2
    skips = gain_of_skips(runs, 8, "score")
    assert (skips.difference, skips.low, skips.high) == pytest.approx((0.25, 0.2, 0.3))


def test_a_choice_is_compared_in_pairs_and_a_run_that_is_twice_is_refused():
    usual = {
        "model.downsample": "strided_conv",
        "model.stem.kernel": 7,
        "model.stem.stride": 2,
        "model.stem.pool": "none",
    }
    rows = []
    for seed in (0, 1, 2):
        for padding, accuracy, macs in (("SAME", 0.5, 100), ("SYMMETRIC", 0.5 + 0.01 * seed, 110)):
            row = {"seed": seed, "model.padding": padding, "test_accuracy": accuracy, "macs": macs}
            rows.append(row | {"config_fingerprint": f"{padding}{seed}"})
    strides = {"model.strides": [(1, 2, 2)] * 6, "model.widths": [(16, 32, 64)] * 6, "data.stretch": [(1, 1)] * 6}
    runs = pd.DataFrame(rows[::-1]).assign(**usual, **strides)
    found = compare(runs, Choice("alignment", "SAME → SYMMETRIC", {"model.padding": "SAME"}, {}))
    assert found.difference.difference == pytest.approx(0.01)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0, 0.02), abs=1e-9)
    assert (found.before, found.after, found.macs) == pytest.approx((0.5, 0.51, 1.1))
    twice = pd.concat([runs, runs.assign(config_fingerprint="other")])
    with pytest.raises(ValueError, match="one run per seed is needed"):
        compare(twice, Choice("alignment", "", {"model.padding": "SAME"}, {}))
    with pytest.raises(ValueError, match=r"found 0"):
        compare(runs, Choice("alignment", "", {"model.padding": "VALID"}, {}))


def test_the_shipped_runs_are_those_of_the_commands():
    scenes = shipped("segment_scenes")
    assert set(scenes["config_fingerprint"]) == fingerprints("configs/segment_study.py:hour")
    assert len(scenes) == scenes["config_fingerprint"].nunique()
    assert not scenes[[BOUNDARY, SMALL]].isna().any(axis=None)
    camvid = shipped("segment_camvid")
    assert set(camvid["config_fingerprint"]) == fingerprints("configs/segment_study.py:camvid_hour")
    assert len(camvid) == camvid["config_fingerprint"].nunique()
    assert not camvid[[*BOUNDARIES.values(), SMALL]].isna().any(axis=None)
    choices = shipped("stride_choices_shapes")
    known = fingerprints(*(f"configs/{name}.py:quick" for name in ("stride_place", "stem", "alignment", "asymmetric")))
    assert fingerprints("configs/stride_place.py:quick") <= set(choices["config_fingerprint"]) <= known
    assert len(choices) == choices["config_fingerprint"].nunique()
    assert {*scenes["status"], *camvid["status"], *choices["status"]} == {"finished"}


def fingerprints(*specs: str) -> set[str]:
    return {config.fingerprint for spec in specs for _, config in read_sweep(spec)}
