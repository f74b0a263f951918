"""Configs of equal MACs, for every operator."""

from dataclasses import replace

import pytest

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.errors import UserError
from strideflax.inspection import count_macs
from strideflax.matching import match_macs
from strideflax.model import abstract_model
from strideflax.operators.table import DOWNSAMPLERS

BASELINE = Config.from_dict(baseline().to_dict())
# Dearer than 2 % even where the pool stands first: the operator is the convolution, or hands on more channels, or has a
# convolution of its own.
NOT_BY_PLACEMENT = {"pasa", "db2_all", "conv_pool", "conv_blur", "space_to_depth", "haar_all", "lip", "lps"}


def with_model(**changes):
    return replace(BASELINE, model=replace(BASELINE.model, **changes))


def ratio(config, to=BASELINE, size=(32, 32)):
    return count_macs(abstract_model(config.model), size) / count_macs(abstract_model(to.model), size)


@pytest.mark.parametrize("name", DOWNSAMPLERS)
def test_by_width_every_operator_has_the_baselines_macs(name):
    config = with_model(downsample=name)
    matched = match_macs(config, to=BASELINE, by="width")
    assert abs(ratio(matched) - 1) <= 0.02
    assert replace(matched, model=replace(matched.model, widths=config.model.widths)) == config


@pytest.mark.parametrize("name", DOWNSAMPLERS)
def test_by_placement_pools_have_the_baselines_macs(name):
    config = with_model(downsample=name)
    if name in NOT_BY_PLACEMENT:
        with pytest.raises(
            UserError, match=rf"{name}: no placement gives 50,649,600 MACs within 2%; the closest has 1\.\d+ "
        ):
            match_macs(config, to=BASELINE, by="placement")
    else:
        matched = match_macs(config, to=BASELINE, by="placement")
        assert abs(ratio(matched) - 1) <= 0.02
        assert matched == replace(config, model=replace(config.model, placement=matched.model.placement))


def test_placement_before_costs_the_baseline_and_the_compares_of_the_pools():
    matched = match_macs(with_model(downsample="max_pool"), to=BASELINE, by="placement")
    assert matched.model.placement == "before"
    compares = 2 * (8 * 8 * 64 * 4) + 2 * (4 * 4 * 128 * 4)  # main path and shortcut, of two blocks
    assert count_macs(abstract_model(matched.model)) == 50_649_600 + compares


def test_widths_shrink_together():
    widths = match_macs(with_model(downsample="max_pool"), to=BASELINE, by="width").model.widths
    assert [round(before / after, 1) for before, after in zip((64, 128, 256), widths, strict=True)] == [1.3, 1.3, 1.3]


def test_widths_grow_to_reach_a_dearer_reference():
    dearer = with_model(downsample="conv_pool")
    matched = match_macs(BASELINE, to=dearer, by="width")
    assert abs(ratio(matched, dearer) - 1) <= 0.02
    assert matched.model.widths > BASELINE.model.widths


def test_narrow_networks_are_matched_by_single_channels():
    narrow = with_model(widths=(3, 5, 9), downsample="avg_pool")
    reference = with_model(widths=(3, 5, 9))
    assert abs(ratio(match_macs(narrow, to=reference, by="width"), reference) - 1) <= 0.02


def test_what_matches_already_stays():
    assert match_macs(BASELINE, to=BASELINE, by="width") is BASELINE
    assert match_macs(with_model(downsample="resnet_d"), to=BASELINE, by="placement").model.widths == (64, 128, 256)


def test_the_best_ratio_is_stated_where_whole_channels_are_too_coarse():
    one_stage = {"widths": (1,), "blocks": (1,), "strides": (1,)}
    reference, deeper = with_model(**one_stage), with_model(**one_stage | {"blocks": (2,)})
    # One channel is the least: the stem, twice the block of 18 multiply-adds a position, the mean and the classifier.
    positions, classifier = 16 * 16, 16 * 16 + 10
    least = (positions * (147 + 2 * 18) + classifier) / (positions * (147 + 18) + classifier)
    with pytest.raises(
        UserError, match=rf"no width gives 42,506 MACs within 2%; the closest has {least:.3f} times as many"
    ):
        match_macs(deeper, to=reference, by="width")


def test_images_of_another_size():
    matched = match_macs(with_model(downsample="max_pool"), to=BASELINE, by="width", size=(48, 40))
    assert abs(ratio(matched, size=(48, 40)) - 1) <= 0.02


def test_unknown_method():
    with pytest.raises(ValueError, match="by must be one of placement, width, got 'depth'"):
        match_macs(BASELINE, to=BASELINE, by="depth")
