"""ResNet-9 against counts by hand and a plain definition that shares no code with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from strideflax.config_file import read_config
from strideflax.errors import ConfigError
from strideflax.inspection import inspect_model
from strideflax.measuring.sites import operator_sites
from strideflax.model import NETWORKS, ModelConfig, ResNet9, StemConfig, abstract_model
from strideflax.model import config as model_config
from strideflax.operators.table import DOWNSAMPLERS

SMALL = ModelConfig(
    network="resnet9",
    stem=StemConfig(kernel=3, stride=1, width=4),
    widths=(6, 8, 10),
    blocks=(1, 0, 1),
    strides=(2, 2, 2),
    downsample="max_pool",
)
WIDTHS = (64, 128, 256, 512)


def shipped(**changes) -> ModelConfig:
    return dataclasses.replace(read_config("configs/resnet9.py").model, **changes)


def test_the_config_is_resnet9_by_hand():
    found = inspect_model(abstract_model(shipped()))
    pairs = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    norms = 2 * sum(out for _, out in pairs)
    assert found.params == sum(9 * into * out for into, out in pairs) + norms + 512 * 10 + 10 == 6_573_130
    sizes = (32, 32, 16, 16, 16, 8, 4, 4)  # of the map that each convolution makes
    convolutions = sum(9 * into * out * size**2 for (into, out), size in zip(pairs, sizes, strict=True))
    maxima = sum(4 * width * size**2 for width, size in ((128, 16), (256, 8), (512, 4)))
    assert found.macs == convolutions + maxima + 4 * 4 * 512 + 512 * 10
    assert [layer.output for layer in found.stage_ends().values()] == [
        (32, 32, 64), (16, 16, 128), (8, 8, 256), (4, 4, 512),
    ]  # fmt: skip
    assert [alignment.verdict for alignment in found.alignments] == ["aligned", "aligned"]


def test_before_the_convolution_the_operator_costs_what_the_stride_costs():
    strided = inspect_model(abstract_model(shipped(downsample="strided_conv"))).macs
    before = inspect_model(abstract_model(shipped(placement="before"))).macs
    after = inspect_model(abstract_model(shipped())).macs
    pairs = [(3, 64, 32), (64, 128, 16), (128, 128, 16), (128, 128, 16), (128, 256, 8), (256, 512, 4)]
    pairs += 2 * [(512, 512, 4)]
    assert strided == sum(9 * into * out * size**2 for into, out, size in pairs) + 4 * 4 * 512 + 512 * 10
    assert before == strided + sum(4 * width * size**2 for width, size in ((64, 16), (128, 8), (256, 4)))
    assert 1.8 < after / strided < 1.85


def randomized(config: ModelConfig) -> tuple[ResNet9, dict[str, np.ndarray]]:
    """Return a net with random weights and statistics, and these by their path."""
    graph, state = nnx.split(abstract_model(config))
    random, arrays, leaves = np.random.default_rng(0), {}, []
    for path, leaf in nnx.to_flat_state(state):
        value = 0.5 * random.standard_normal(leaf.shape).astype(np.float32)
        value = np.abs(value) + 0.5 if path[-1] in ("var", "scale") else value
        arrays[".".join(map(str, path))] = value
        leaves.append((path, leaf.replace(jnp.asarray(value))))
    return nnx.merge(graph, nnx.from_flat_state(leaves)), arrays


def plain(arrays: dict[str, np.ndarray], x: np.ndarray, placement: str) -> np.ndarray:
    """Return the logits of `SMALL`, written down layer by layer."""

    def conv(x, name):
        height, width = x.shape[1:3]
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        taps = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return np.concatenate(taps, -1) @ arrays[f"{name}.kernel"].reshape(-1, arrays[f"{name}.kernel"].shape[-1])

    def norm(x, name):
        scale = arrays[f"{name}.scale"] / np.sqrt(arrays[f"{name}.var"] + 1e-5)
        return (x - arrays[f"{name}.mean"]) * scale + arrays[f"{name}.bias"]

    def halved(x):
        batch, height, width, channels = x.shape
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))

    def step(x, name):
        if placement == "before":
            return np.maximum(norm(conv(halved(x), f"{name}.1"), f"{name}.2"), 0)
        return halved(np.maximum(norm(conv(x, f"{name}.0"), f"{name}.1"), 0))

    def block(x, name):
        y = np.maximum(norm(conv(x, f"{name}.reduction.layers.0"), f"{name}.reduction.layers.1"), 0)
        return np.maximum(x + norm(conv(y, f"{name}.conv"), f"{name}.norm"), 0)

    x = np.maximum(norm(conv(x, "stem.layers.0"), "stem.layers.1"), 0)
    x = block(step(x, "blocks.0.reduction.layers"), "blocks.1")
    x = step(x, "blocks.2.reduction.layers")
    x = block(step(x, "blocks.3.reduction.layers"), "blocks.4")
    return (x.max((1, 2)) @ arrays["head.kernel"] + arrays["head.bias"]) / 8


@pytest.mark.parametrize("placement", ["after", "before"])
def test_logits_are_those_of_a_plain_definition(placement, random):
    net, arrays = randomized(dataclasses.replace(SMALL, placement=placement))
    x = random.standard_normal((3, 16, 24, 3)).astype(np.float32)
    expected = plain(arrays, x, placement)
    np.testing.assert_allclose(nnx.jit(net)(jnp.asarray(x)), expected, atol=1e-4 * np.abs(expected).max())


def test_the_operator_stands_at_the_head_of_each_stage():
    assert list(operator_sites(abstract_model(SMALL))) == [f"stage{i}/down/reduction" for i in (1, 2, 3)]


@pytest.mark.parametrize("name", ["aps", "stochastic_pool", "space_to_depth", "spectral_pool", "conv_blur", "resnet_d"])
def test_it_takes_operators_of_all_kinds(name):
    for placement in ("before", "after", "added"):
        graph, state = nnx.split(abstract_model(dataclasses.replace(SMALL, downsample=name, placement=placement)))

        def step(state, x, key, graph=graph):
            return nnx.merge(graph, state, copy=True)(x, train=True, key=key)

        logits = jax.eval_shape(step, state, jnp.zeros((2, 16, 16, 3)), jax.random.key(0))
        assert (logits.shape, logits.dtype) == ((2, 10), jnp.float32)
    assert name in DOWNSAMPLERS


def test_the_table_has_the_names_that_a_config_may_have():
    assert tuple(NETWORKS) == model_config.NETWORKS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet10"}, "config.model.network must be one of mini_resnet, resnet9, got 'resnet10'"),
        (
            {"decoder": "resize"},
            "config.model.decoder must be None where config.model.network is 'resnet9', got 'resize'",
        ),
        ({"blocks": (1, -1, 1)}, r"config.model.blocks must be ints >= 0, got \(1, -1, 1\)"),
        ({"network": "mini_resnet"}, r"config.model.blocks must be ints >= 1, got \(1, 0, 1\)"),
    ],
)
def test_a_mistake_is_one_line(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **changes)
    with pytest.raises(ConfigError, match=r"config\.model\.stem\.width must be an int >= 1"):
        StemConfig(width=0)


def test_the_sweep_of_the_operators_is_paired_and_in_the_order_of_seeds():
    from strideflax.config_file import read_sweep

    runs = [config for _, config in read_sweep("configs/study94.py")]
    assert [config.seed for config in runs] == sorted(config.seed for config in runs)
    by_seed = {}
    for config in runs:
        by_seed.setdefault(config.seed, []).append((config.model.downsample, config.model.placement))
    assert len(by_seed) == 10
    assert all(sorted(found) == sorted(by_seed[0]) for found in by_seed.values())
    for placement in ("before", "after"):
        assert len({name for name, where in by_seed[0] if where == placement}) >= 10
    assert len({config.fingerprint for config in runs}) == len(runs) == 220  # as docs/guide/recipe.md says
