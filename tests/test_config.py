import copy
import dataclasses
import json
import re

import pytest

from configs.baseline import baseline
from strideflax import DOWNSAMPLERS
from strideflax.config import Config, ConfigError
from strideflax.config_fields import parse_value
from strideflax.config_file import override
from strideflax.config_values import NEWER, NOT_SET, with_not_set_as_before
from strideflax.errors import UserError


def values(arg=None):
    return baseline(arg).to_dict()


def changed(path, value):
    """Return the baseline's values with the field at ``path`` set."""
    nested = copy.deepcopy(values())
    *groups, field = path.split(".")
    group = nested
    for name in groups:
        group = group[name]
    group[field] = value
    return nested


def leaves(nested, prefix=""):
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("arg", [None, "quick"])
def test_the_baseline_passes_and_survives_a_round_trip(arg):
    config = Config.from_dict(values(arg))
    plain = config.to_dict()
    assert Config.from_dict(plain) == config
    assert Config.from_dict(json.loads(json.dumps(plain))) == config
    assert Config.from_dict(plain).fingerprint == config.fingerprint
    assert config.model.widths == tuple(values(arg)["model"]["widths"])
    assert config.optimizer.learning_rate == values(arg)["optimizer"]["learning_rate"]


def test_values_are_frozen_and_hashable():
    config = Config.from_dict(values())
    for part in (config, config.model, config.model.stem, config.data, config.augment, config.optimizer):
        field = dataclasses.fields(part)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field, getattr(part, field))
        assert isinstance(hash(part), int)


def test_ints_pass_for_floats_and_lists_for_tuples():
    config = Config.from_dict(changed("epochs", 10))
    assert type(config.epochs) is float
    assert config.fingerprint == Config.from_dict(values()).fingerprint
    config = Config.from_dict(changed("model.strides", [1, [2, 1], (2, 2)]))
    assert config.model.strides == (1, (2, 1), (2, 2))


# Wrong values: one line that names the field, what came and what is allowed

WRONG = [
    # path, value, a part of what is allowed
    ("seed", -1, "an int in 0..2^32 - 1"),
    ("seed", 2**32, "an int in 0..2^32 - 1"),
    ("seed", 1.0, "must be int"),
    ("seed", True, "must be int"),
    ("epochs", 0, "a number in (0, 10000]"),
    ("epochs", -1.0, "a number in (0, 10000]"),
    ("epochs", float("inf"), "must be finite"),
    ("epochs", "ten", "must be float"),
    ("batch_size", 0, "an int >= 1"),
    ("batch_size", None, "must be int"),
    ("eval_batch_size", -5, "an int >= 1"),
    ("checkpoint_epochs", 0, "an int >= 1"),
    ("model", 3, "must be a group of fields"),
    ("model.stem", "7x7", "must be a group of fields"),
    ("model.stem.kernel", 0, "an int >= 1"),
    ("model.stem.kernel", "7", "must be int"),
    ("model.stem.stride", 0, "an int >= 1"),
    ("model.stem.stride", (2, 2, 2), "must be"),
    ("model.stem.stride", 1.5, "must be"),
    ("model.stem.downsample", "stride", "known: strided_conv, subsample"),
    ("model.stem.pool", "maxpool", "known: strided_conv, subsample"),
    ("model.stem.pool", "strided_conv", "none or a pool"),
    ("model.widths", (), "one or more ints >= 1"),
    ("model.widths", (64, 0, 256), "one or more ints >= 1"),
    ("model.widths", 64, "must be a tuple"),
    ("model.widths", (64, "128", 256), "must be int"),
    ("model.blocks", (1, 1), "3 entries, one per entry of model.widths"),
    ("model.blocks", (1, 0, 1), "ints >= 1"),
    ("model.blocks", (1, True, 1), "must be int"),
    ("model.strides", (1, 2), "3 entries, one per entry of model.widths"),
    ("model.strides", (1, 2, 0), "an int >= 1"),
    ("model.strides", (1, 2, (2, -1)), "an int >= 1"),
    ("model.strides", (1, 2, (2, 2, 2)), "must be"),
    ("model.downsample", "pool", "known: strided_conv, subsample"),
    ("model.window", -1, "an int >= 1, or None for the operator's default"),
    ("model.window", False, "must be int"),
    ("model.window", "2", "must be int"),
    ("model.taps", 3, "None, as strided_conv has no filter behind a convolution"),
    ("model.taps", "3", "must be int"),
    ("model.placement", "between", "one of after, before"),
    ("model.padding", "VALID", "one of SAME, SAME_LOWER, SYMMETRIC, CIRCULAR, REFLECT"),
    ("model.residual", 1, "must be bool"),
    ("model.batch_norm_momentum", 1.0, "in [0, 1)"),
    ("model.batch_norm_momentum", -0.1, "in [0, 1)"),
    ("model.dtype", "float16", "one of float32, bfloat16"),
    (
        "data.name",
        "imagenet",
        "one of cifar10, cifar100, shapes, scenes, camvid, mask_folder, folder, tfds:NAME or FILE.npz, got",
    ),
    ("data.dir", 3, "must be str"),
    ("data.train_count", -1, "an int >= 1, or None for all images"),
    ("data.val_count", -1, "an int >= 0"),
    ("data.val_count", None, "an int >= 0"),
    ("data.size", 64, "None for cifar10, which has a size of its own"),
    ("data.skip_unreadable", 1, "must be bool"),
    ("data.test_count", 0.5, "must be int"),
    ("data.test_count", -1, "an int >= 1, or None for all images"),
    ("data.stretch", 2, "must be a tuple of 2 entries"),
    ("data.stretch", (1, 2, 3), "must be a tuple of 2 entries"),
    ("data.stretch", (1, 9), "two ints in 1..8 (rows, columns)"),
    ("data.stretch", (0, 1), "two ints in 1..8 (rows, columns)"),
    ("augment.crop", -1, "an int in 0..32 (pixels)"),
    ("augment.crop", 33, "an int in 0..32 (pixels)"),
    ("augment.flip", "yes", "must be bool"),
    ("augment.cutout", 33, "an int in 0..32 (pixels)"),
    ("augment.crop_padding", "wrap", "one of zeros, reflect"),
    ("optimizer.name", "adam", "one of sgd, adamw"),
    ("optimizer.schedule", "linear", "one of one_cycle, cosine, constant"),
    ("optimizer.learning_rate", "abc", "must be float"),
    ("optimizer.learning_rate", float("nan"), "must be finite"),
    ("optimizer.learning_rate", float("inf"), "must be finite"),
    ("optimizer.learning_rate", -1, "a number > 0"),
    ("optimizer.learning_rate", 0.0, "a number > 0"),
    ("optimizer.learning_rate", True, "must be float"),
    ("optimizer.warmup_epochs", -1.0, "a number >= 0"),
    ("optimizer.warmup_epochs", 10.5, "at most config.epochs (10.0)"),
    ("optimizer.momentum", 1.0, "in [0, 1)"),
    ("optimizer.momentum", float("nan"), "must be finite"),
    ("optimizer.weight_decay", -5e-3, "a number >= 0"),
    ("optimizer.label_smoothing", 1.0, "in [0, 1)"),
    ("optimizer.label_smoothing", -0.1, "in [0, 1)"),
    ("optimizer.clip_norm", -1.0, "a number > 0, or None for no limit"),
    ("optimizer.average_decay", 1.0, "a number in (0, 1), or None for no average"),
]


@pytest.mark.parametrize(("path", "value", "allowed"), WRONG, ids=lambda part: str(part)[:30])
def test_a_wrong_value_is_named_with_what_is_allowed(path, value, allowed):
    with pytest.raises(ConfigError) as error:
        Config.from_dict(changed(path, value))
    message = str(error.value)
    assert message.startswith(f"config.{path}")
    assert allowed in message
    entries = value if isinstance(value, tuple) else ()  # a wrong entry of a tuple may be named alone
    assert any(f"got {part!r}" in message for part in (value, *entries)) or f"{value!r}; known: " in message
    assert "\n" not in message
    assert "<class" not in message


def test_an_int_too_large_for_a_float_is_refused():
    with pytest.raises(ConfigError, match=r"^config.epochs must be finite, got inf$"):
        Config.from_dict(changed("epochs", 10**5000))


def test_a_config_error_is_the_user_s_and_a_value_error():
    assert issubclass(ConfigError, UserError)
    assert issubclass(ConfigError, ValueError)


def test_unknown_operators_list_all_that_are_known():
    with pytest.raises(ConfigError, match=re.escape(f"'no_such'; known: {', '.join(DOWNSAMPLERS)}")):
        Config.from_dict(changed("model.downsample", "no_such"))


def test_every_known_operator_passes():
    for name in DOWNSAMPLERS:
        assert Config.from_dict(changed("model.downsample", name)).model.downsample == name


def test_an_operator_without_a_window_takes_none():
    nested = changed("model.downsample", "subsample")
    nested["model"]["window"] = 3
    with pytest.raises(ConfigError, match=r"config.model.window must be None, as subsample has no window, got 3"):
        Config.from_dict(nested)


@pytest.mark.parametrize(
    ("path", "group"),
    [("no_such", "config"), ("model.no_such", "config.model"), ("model.stem.no_such", "config.model.stem")],
)
def test_an_unknown_field_lists_the_known(path, group):
    with pytest.raises(ConfigError, match=rf"^config.{path} does not exist; {group} has \w+(, \w+)+$"):
        Config.from_dict(changed(path, 1))


OPTIONAL = [*NOT_SET, *NEWER]


@pytest.mark.parametrize("path", [*sorted(set(leaves(values())) - {*OPTIONAL, "data.val_count"}), "data", "model.stem"])
def test_every_field_is_required(path):
    nested = values()
    *groups, field = path.split(".")
    group = nested
    for name in groups:
        group = group[name]
    del group[field]
    with pytest.raises(ConfigError, match=rf"^config.{path} is missing$"):
        Config.from_dict(nested)


@pytest.mark.parametrize("nested", [None, 3, [("seed", 1)]])
def test_a_config_is_a_group(nested):
    with pytest.raises(ConfigError, match=r"^config must be a group of fields, got "):
        Config.from_dict(nested)


# The fingerprint

OTHER = {
    "seed": 1,
    "epochs": 11.0,
    "batch_size": 127,
    "eval_batch_size": 499,
    "checkpoint_epochs": 2,
    "model.stem.kernel": 5,
    "model.stem.stride": (2, 1),
    "model.stem.downsample": "max_pool",
    "model.stem.pool": "max_pool",
    "model.stem.width": 32,
    "model.network": "resnet9",
    "model.widths": (64, 128, 255),
    "model.blocks": (1, 1, 2),
    "model.strides": (1, 2, 3),
    "model.downsample": "max_pool",
    "model.window": 2,
    "model.taps": 5,
    "model.placement": "before",
    "model.padding": "SAME",
    "model.residual": False,
    "model.batch_norm_momentum": 0.99,
    "model.dtype": "bfloat16",
    "data.name": "shapes",
    "data.dir": "elsewhere",
    "data.train_count": 100,
    "data.val_count": 999,
    "data.test_count": 100,
    "data.size": 48,
    "data.skip_unreadable": True,
    "data.stretch": (1, 2),
    "augment.crop": 3,
    "augment.crop_padding": "reflect",
    "augment.flip": False,
    "augment.alternate_flips": True,
    "augment.cutout": 8,
    "optimizer.name": "adamw",
    "optimizer.schedule": "cosine",
    "optimizer.learning_rate": 0.2000001,
    "optimizer.warmup_epochs": 2.0,
    "optimizer.momentum": 0.95,
    "optimizer.weight_decay": 0.0,
    "optimizer.label_smoothing": 0.0,
    "optimizer.clip_norm": 1.0,
    "optimizer.average_decay": 0.99,
}
OTHER_WITH_MASKS = {
    "task": "segment",
    "model.decoder": "resize",
    "model.upsample": "linear",
    "model.output_stride": 4,
    "data.void_label": 7,
    "augment.scale": 0.25,
}


def test_the_fingerprint_covers_what_changes_a_net_of_pixels():
    segmenting = values()
    segmenting["task"], segmenting["model"]["decoder"], segmenting["data"]["name"] = "segment", "unet", "mask_folder"
    prints = {Config.from_dict(values()).fingerprint, Config.from_dict(segmenting).fingerprint}
    for path, value in OTHER_WITH_MASKS.items():
        if path != "task":
            nested = copy.deepcopy(segmenting)
            override(nested, {path: value})
            prints.add(Config.from_dict(nested).fingerprint)
    assert len(prints) == 1 + len(OTHER_WITH_MASKS)


def test_the_fingerprint_covers_what_changes_the_result_and_nothing_else():
    assert set(OTHER) | set(OTHER_WITH_MASKS) == set(leaves(values()))
    base = Config.from_dict(values()).fingerprint
    assert re.fullmatch("[0-9a-f]{12}", base)
    prints = {}
    for path, value in OTHER.items():
        nested = changed(path, value)
        nested["model"]["downsample"] = "conv_blur" if path == "model.taps" else nested["model"]["downsample"]
        nested["data"]["name"] = "folder" if path == "data.size" else nested["data"]["name"]
        prints[path] = Config.from_dict(nested).fingerprint
    same = {path for path, value in prints.items() if value == base}
    assert same == {"data.dir", "eval_batch_size", "checkpoint_epochs"}
    assert len({value for path, value in prints.items() if path not in same}) == len(OTHER) - len(same)


# "Not set": None, and what stood for it before


@pytest.mark.parametrize(("path", "before"), NOT_SET.items())
def test_what_stood_for_not_set_is_read_as_none_and_keeps_its_fingerprint(path, before):
    with_none = changed(path, None)
    assert Config.from_dict(with_none) == Config.from_dict(changed(path, before))
    assert Config.from_dict(with_none).fingerprint == Config.from_dict(values()).fingerprint
    del with_none["model"]["taps"]  # which the files of older runs do not have
    assert Config.from_dict(with_none) == Config.from_dict(values())


def test_a_field_that_may_be_none_may_be_missing():
    nested = values()
    for path in OPTIONAL:
        *groups, field = path.split(".")
        group = nested
        for name in groups:
            group = group[name]
        del group[field]
    assert Config.from_dict(nested) == Config.from_dict(values())


def test_fingerprints_are_those_of_the_runs_that_were_made_before_none():
    assert Config.from_dict(values()).fingerprint == "8d63fcaaf0cf"
    assert Config.from_dict(values("quick")).fingerprint == "3d8e6020b7e9"
    assert Config.from_dict(values("narrow")).fingerprint == "e717d26df477"


def test_in_tables_not_set_is_what_it_was():
    before = with_not_set_as_before(Config.from_dict(values()).to_dict())
    assert before["model"]["window"] == 0
    assert before["model"]["stem"]["pool"] == "none"
    assert "taps" not in before["model"]
    assert before["optimizer"]["clip_norm"] == 0.0


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("model.window", "3", 3),
        ("model.window", "None", None),
        ("model.window", "x", "x"),
        ("model.stem.pool", "max_pool", "max_pool"),
        ("data.dir", "7", "7"),
        ("data.dir", "", ""),
        ("optimizer.clip_norm", "1", 1.0),
        ("optimizer.learning_rate", "1e-1", 0.1),
        ("augment.flip", "False", False),
        ("model.strides", "(1, (2, 1))", (1, (2, 1))),
        ("seed", "0x10", 16),
    ],
)
def test_a_word_of_the_command_line_is_read_as_its_field_s_type(path, text, value):
    found = parse_value(path, text)
    assert found == value
    assert type(found) is type(value)


def test_differences_name_what_is_not_set():
    nested = changed("data.train_count", 5) | {"seed": 1, "eval_batch_size": 7}
    differences = Config.from_dict(values()).differences(Config.from_dict(nested))
    assert differences == {"data.train_count": (None, 5), "seed": (0, 1)}
