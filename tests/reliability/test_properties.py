"""Shape arithmetic, padding, operators, configs and files against their plain definitions, on random cases."""

import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from operators import reference
from reliability.cases import cases

import strideflax
from configs.baseline import baseline
from strideflax.config import Config
from strideflax.config_file import override, read_config
from strideflax.data.dataset import channel_statistics
from strideflax.data.splitting import balanced_order
from strideflax.files import null_if_not_finite, write_json
from strideflax.operators.geometry import PADDINGS, explicit_pads, output_size
from strideflax.operators.receptive_field import Field, WindowPass, receptive_fields
from strideflax.operators.table import DOWNSAMPLERS, downsampler
from strideflax.training.run_folder import forget_metrics_after, read_json, read_metrics
from strideflax.window import Window

pairs = st.tuples(st.integers(0, 4), st.integers(0, 4))
small = st.integers(1, 4)
finite_floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def places(n, k, s, d, low, high) -> list[list[int]]:
    """Return the pixels under each window that fits, by trying every start."""
    starts = [start for start in range(-low, n + high) if start + (k - 1) * d < n + high]
    return [[start + t * d for t in range(k)] for start in starts[::s]]


def fits(padding, n, k, d) -> bool:
    """Return whether a border that copies pixels has enough of them."""
    reach = (k - 1) * d
    return padding not in ("CIRCULAR", "REFLECT") or reach - reach // 2 <= n - (padding == "REFLECT")


@cases(2500, n=st.integers(1, 40), k=st.integers(1, 9), s=st.integers(1, 6), d=small, pair=pairs)
def test_output_size_counts_the_windows_that_fit(n, k, s, d, pair):
    expected = places(n, k, s, d, *pair)
    assume(expected)
    assert output_size(n, k, stride=s, padding=(pair,), dilation=d) == len(expected)


@cases(1000, n=st.integers(1, 40), k=st.integers(1, 9), s=st.integers(1, 6), low=st.integers(0, 4), d=small)
def test_ceil_mode_adds_the_window_that_starts_before_the_end(n, k, s, low, d):
    assume(2 * low <= k and n + 2 * low >= (k - 1) * d + 1)  # as PyTorch allows
    starts = [start for start in range(-low, n, s) if start + (k - 1) * d < n + low + s - 1]
    got = output_size(n, k, stride=s, padding=low, dilation=d, ceil_mode=True)
    assert got == len(starts)


@cases(2000, n=st.integers(1, 40), k=st.integers(1, 9), s=st.integers(1, 6), d=small, rule=st.sampled_from(PADDINGS))
def test_padding_rules_are_their_sentences(n, k, s, d, rule):
    assume(fits(rule, n, k, d))
    assert list(explicit_pads(rule, (n,), (k,), (s,), (d,))) == reference.pads_of(rule, (n,), (k,), (s,), (d,))


@cases(800, n=st.integers(1, 30), k=st.integers(1, 7), s=st.integers(1, 5), d=small, pair=pairs)
def test_real_taps_are_those_on_pixels(n, k, s, d, pair):
    windows = places(n, k, s, d, *pair)
    assume(windows)
    expected = [sum(0 <= p < n for p in window) for window in windows]
    assert Window(size=(k,), stride=(s,), pads=(pair,), dilation=(d,)).real_taps((n,)).tolist() == expected


@cases(1000, layers=st.lists(st.tuples(small, st.integers(1, 3), pairs, st.integers(1, 2)), min_size=1, max_size=4))
def test_a_receptive_field_is_what_reaches_the_output(layers):
    size, reach = 60, [{i} for i in range(60)]
    for k, s, (low, high), d in layers:
        windows = places(len(reach), k, s, d, low, high)
        assume(windows)
        reach = [set().union(*(reach[p] for p in window if 0 <= p < len(reach))) for window in windows]
    passes = []
    for k, s, (low, high), d in layers:
        window = Window(size=(k,), stride=(s,), pads=((low, high),), dilation=(d,))
        passes.append(WindowPass(window=window, features=1))
    (field,) = receptive_fields(passes, [Field()])
    for i, seen in enumerate(reach):
        first = field.start + i * field.jump - (field.size - 1) / 2
        if first >= 0 and first + field.size <= size and all(d == 1 for *_, d in layers):  # no border, no holes
            assert not seen or (min(seen) >= first and max(seen) <= first + field.size - 1)


@cases(
    500,
    n=st.integers(3, 8),
    k=st.integers(1, 3),
    s=st.integers(1, 3),
    d=st.integers(1, 2),
    rule=st.sampled_from(("SAME", "SAME_LOWER", "VALID", "SYMMETRIC", "CIRCULAR", "REFLECT")),
    seed=st.integers(0, 2**32 - 1),
)
def test_pools_and_convolutions_are_sums_and_maxima_over_windows(n, k, s, d, rule, seed):
    assume(fits(rule, n, k, d) and (rule != "VALID" or (k - 1) * d < n))
    assume(
        all(any(0 <= p < n for p in w) for w in places(n, k, s, d, *reference.pads_of(rule, (n,), (k,), (s,), (d,))[0]))
    )
    random = np.random.default_rng(seed)
    x, kernel = random.normal(size=(2, n, 3)).astype(np.float32), random.normal(size=(k, 3, 2)).astype(np.float32)
    options = {"stride": s, "padding": rule, "dilation": d}
    explicit = (s,), rule, (d,)
    np.testing.assert_array_equal(strideflax.max_pool(x, k, **options), reference.max_pool(x, (k,), *explicit))
    np.testing.assert_allclose(strideflax.avg_pool(x, k, **options), reference.avg_pool(x, (k,), *explicit), atol=1e-6)
    np.testing.assert_allclose(strideflax.conv(x, kernel, **options), reference.conv(x, kernel, *explicit), atol=1e-5)


@cases(
    300,
    name=st.sampled_from(sorted(DOWNSAMPLERS)),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)),
    value=st.floats(0.125, 8, width=16),
)
def test_every_operator_gives_n_over_s_and_finite_numbers(name, size, value):
    from flax import nnx

    operator = downsampler(name)(3, rngs=nnx.Rngs(0))
    x = jnp.full((2, *size, 3), value)
    y = operator(x, index=operator.select(x) if operator.select(x) is not None else jnp.zeros(2, int))
    assert y.shape == (2, -(-size[0] // 2), -(-size[1] // 2), operator.out_features)
    assert np.isfinite(np.asarray(y)).all()


@cases(300, n=st.integers(1, 12), block=st.integers(1, 3), channels=small, seed=st.integers(0, 99))
def test_rearranging_forth_and_back_changes_nothing(n, block, channels, seed):
    x = np.random.default_rng(seed).normal(size=(1, n * block, channels)).astype(np.float32)
    stacked = strideflax.space_to_depth(x, block)
    assert stacked.shape == (1, n, channels * block)
    np.testing.assert_array_equal(strideflax.depth_to_space(stacked, block), x)


@cases(
    400,
    rate=st.floats(1e-6, 1e3),
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 512), min_size=1, max_size=5),
    flip=st.booleans(),
    directory=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_what_is_written_on_the_command_line_is_what_the_config_holds(rate, seed, widths, flip, directory):
    config = read_config(
        "configs/stride2.py",
        [
            f"--config.optimizer.learning_rate={rate!r}",
            f"--config.seed={seed}",
            f"--config.model.widths={tuple(widths)!r}",
            f"--config.model.blocks={(1,) * len(widths)!r}",
            f"--config.model.strides={(1,) * len(widths)!r}",
            f"--config.augment.flip={flip}",
            f"--config.data.dir={directory}",
        ],
    )
    assert (config.optimizer.learning_rate, config.seed, config.augment.flip) == (rate, seed, flip)
    assert config.model.widths == tuple(widths)
    assert config.data.dir == (None if directory in ("", "None") else directory)
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert (again, again.fingerprint) == (config, config.fingerprint)
    assert config.differences(again) == {}


@cases(
    300,
    one=st.integers(0, 99),
    other=st.integers(0, 99),
    rates=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
    folders=st.tuples(st.text(max_size=3), st.text(max_size=3)),
)
def test_configs_differ_in_the_fields_that_differ(one, other, rates, folders):
    first, second = baseline().to_dict(), baseline().to_dict()
    for config, seed, rate, folder in zip((first, second), (one, other), rates, folders, strict=True):
        override(config, {"seed": seed, "optimizer.learning_rate": rate, "data.dir": folder})
    first, second = Config.from_dict(first), Config.from_dict(second)
    expected = {"seed": (one, other), "optimizer.learning_rate": rates}
    assert first.differences(second) == {name: pair for name, pair in expected.items() if pair[0] != pair[1]}
    assert (first.fingerprint == second.fingerprint) == (not first.differences(second))


@cases(600, value=st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_json_comes_back_with_null_for_what_is_not_null_if_not_finite(value):
    path = Path(_folder()) / "value.json"
    write_json(path, value)
    assert read_json(path) == null_if_not_finite(value)
    assert all(math.isfinite(v) for v in _numbers(read_json(path)))


@cases(400, steps=st.lists(st.integers(1, 9), max_size=8), kept=st.integers(0, 60), torn=st.integers(0, 20))
def test_metrics_keep_whole_lines_up_to_a_step(steps, kept, torn):
    folder = Path(_folder())
    records = [{"epoch": i + 1, "step": int(total)} for i, total in enumerate(np.cumsum(steps))]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(text + '{"epoch": 99, "step": 1}'[:torn])
    forget_metrics_after(folder, kept)
    assert read_metrics(folder) == [record for record in records if record["step"] <= kept]


@cases(300, labels=st.lists(st.integers(0, 9), max_size=60))
def test_a_balanced_order_takes_classes_in_turn(labels):
    order = balanced_order(np.array(labels, int))
    assert sorted(order) == list(range(len(labels)))
    for part in range(len(labels)):
        counts = np.bincount(np.array(labels)[order[:part]], minlength=10)
        left = np.bincount(labels, minlength=10) > counts
        assert all(counts[left] >= counts.max() - 1)


@cases(300, seed=st.integers(0, 999), count=st.integers(1, 30), low=st.integers(0, 255))
def test_channel_statistics_are_numpys(seed, count, low):
    images = np.random.default_rng(seed).integers(low, 256, (count, 4, 4, 3)).astype(np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-6, atol=1e-7)


def _numbers(value):
    if isinstance(value, (list, dict)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _numbers(entry)
    elif isinstance(value, float):
        yield value


def _folder() -> str:
    import tempfile

    folder = Path(tempfile.gettempdir()) / "strideflax-cases"
    folder.mkdir(exist_ok=True)
    return str(folder)
