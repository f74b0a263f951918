from dataclasses import replace

import numpy as np
import pytest

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.inspection import inspect_model
from strideflax.measuring.detail import average_to, position_error_pixels, ridge_error_pixels, undownsampled
from strideflax.measuring.sites import operator_sites
from strideflax.model import abstract_model


def positions(count, seed):
    return np.random.default_rng(seed).uniform(4, 28, (count, 2))


def test_position_error_by_hand():
    assert position_error_pixels(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 1], [0, 0]])) == 3.0


def test_a_linear_probe_on_coordinates_has_error_0():
    mixing = np.random.default_rng(0).normal(size=(2, 5))
    splits = [(centres @ mixing + 7, centres) for centres in (positions(40, 1), positions(20, 2), positions(30, 3))]
    error, strength = ridge_error_pixels(*splits)
    assert error < 1e-6
    assert strength <= 1e-8


def test_features_that_know_nothing_end_at_the_centre_guess():
    noise = np.random.default_rng(4)
    splits = [(noise.normal(size=(len(c), 6)), c) for c in (positions(400, 1), positions(200, 2), positions(300, 3))]
    guess = position_error_pixels(splits[0][1].mean(0), splits[2][1])
    assert ridge_error_pixels(*splits)[0] == pytest.approx(guess, rel=0.02)


@pytest.mark.parametrize("strength", [1e-3, 10.0])
def test_the_closed_form_is_the_ridge_solution(strength, monkeypatch):
    monkeypatch.setattr("strideflax.measuring.detail.STRENGTHS", (strength,))
    random = np.random.default_rng(5)
    (x, y), (_, _), (test_x, test_y) = splits = [(random.normal(size=(n, 4)), positions(n, n)) for n in (30, 10, 12)]
    centred, target = x - x.mean(0), y - y.mean(0)
    scale = np.trace(centred @ centred.T) / 30
    weights = np.linalg.solve(centred.T @ centred + strength * scale * np.eye(4), centred.T @ target)
    expected = position_error_pixels((test_x - x.mean(0)) @ weights + y.mean(0), test_y)
    assert ridge_error_pixels(*splits)[0] == pytest.approx(expected, rel=1e-9)


def test_the_strength_is_chosen_on_validation_and_not_on_test():
    mixing, noise = np.random.default_rng(0).normal(size=(2, 30)), np.random.default_rng(6)
    train, val = positions(20, 1), positions(200, 2)
    splits = [(c @ mixing + 40 * noise.normal(size=(len(c), 30)), c) for c in (train, val)]
    clean = positions(50, 3)
    chosen = ridge_error_pixels(*splits, (clean @ mixing, clean))[1]
    assert chosen == ridge_error_pixels(*splits, splits[1])[1] > 1e-3


def test_pooled_maps_are_block_means():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3))
    assert np.allclose(average_to(x, (2, 3)), x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)), atol=1e-12)


@pytest.mark.parametrize("change", [{"downsample": "conv_blur", "taps": 5}, {"downsample": "blur_pool", "window": 4}])
def test_an_operators_own_options_do_not_outlive_it(change):
    model = replace(Config.from_dict(baseline("quick").to_dict()).model, **change)
    assert undownsampled(model).downsample == "strided_conv"


def test_the_undownsampled_net_is_the_same_net_without_a_stride():
    config = baseline("quick")
    config.model.update({"downsample": "max_pool", "window": 3})
    config.model.stem.pool = "max_pool"
    model = Config.from_dict(config.to_dict()).model
    net = abstract_model(undownsampled(model))
    assert not operator_sites(net)
    assert undownsampled(model).widths == model.widths
    assert inspect_model(net, 8).layers[-3].output == (8, 8, 64)  # before the mean and the classifier
