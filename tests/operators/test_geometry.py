import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operators import reference

from strideflax import conv, output_size
from strideflax.operators.geometry import PADDINGS, centred, explicit_pads, make_window, per_axis
from strideflax.operators.receptive_field import Field, WindowPass, merge_fields, receptive_fields
from strideflax.window import Window, extent

SIZES, WINDOWS, STRIDES, DILATIONS = range(1, 14), (1, 2, 3, 4, 5, 7), (1, 2, 3, 4), (1, 2, 3)


def through(field, *layers):
    for window, stride, *pad in layers:
        field = field.through(window, stride, *pad)
    return field


# Output sizes


@pytest.mark.parametrize("padding", [*PADDINGS, 0, 1, 3, ((0, 2),), ((3, 1),), (2,)])
def test_output_size_counts_the_places_where_the_window_fits(padding):
    checked = 0
    for n, k, s, d in itertools.product(SIZES, WINDOWS, STRIDES, DILATIONS):
        if padding in ("CIRCULAR", "REFLECT") and (k - 1) * d - (k - 1) * d // 2 > n - (padding == "REFLECT"):
            with pytest.raises(ValueError, match=r"padding \w+ needs a border of"):
                output_size((n,), k, stride=s, padding=padding, dilation=d)
            continue
        places = len(reference.sources(padding, (n,), (k,), (s,), (d,))[0])
        if places == 0:
            with pytest.raises(ValueError, match="empty output: a window of extent"):
                output_size((n,), k, stride=s, padding=padding, dilation=d)
            continue
        assert output_size((n,), k, stride=s, padding=padding, dilation=d) == (places,), (n, k, s, d)
        checked += 1
    assert checked > 300


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "CIRCULAR", "REFLECT"])
def test_same_and_the_filled_borders_give_n_over_s_rounded_up(padding):
    for n, k, s in itertools.product(range(6, 14), WINDOWS, STRIDES):
        assert output_size(n, k, stride=s, padding=padding) == -(-n // s)


@pytest.mark.parametrize("padding", [*PADDINGS, 2, ((1, 0), (0, 3)), (1, (2, 0))])
def test_output_size_is_the_shape_that_conv_returns(padding):
    for size, window, stride, dilation in itertools.product(
        [(9, 12), (10, 9)], [(1, 2), (3, 3), (4, 5)], [1, (2, 1), (3, 4)], [1, (1, 2)]
    ):
        expected = output_size(size, window, stride=stride, padding=padding, dilation=dilation)
        x, kernel = jnp.zeros((2, *size, 3)), jnp.zeros((*window, 3, 5))
        out = jax.eval_shape(lambda x, k: conv(x, k, stride=stride, padding=padding, dilation=dilation), x, kernel)  # noqa: B023
        assert out.shape == (2, *expected, 5)


def test_ceil_mode_adds_the_partial_window_unless_it_starts_in_the_high_padding():
    for n, k, s, low, high, d in itertools.product(range(1, 12), (1, 2, 3, 4), STRIDES, range(3), range(3), (1, 2)):
        reach = (k - 1) * d + 1
        if n + low + high < reach:
            continue
        starts = [-low]
        while starts[-1] + reach < n + high:  # pixels are left over behind the last window
            starts.append(starts[-1] + s)
        if starts[-1] >= n:
            starts.pop()
        out = output_size(n, k, stride=s, padding=((low, high),), dilation=d, ceil_mode=True)
        assert out == len(starts), (n, k, s, low, high, d)


def test_the_published_sizes():
    assert output_size(224, 7, stride=2, padding=3) == 112
    assert output_size((224, 224), 7, stride=2, padding="SYMMETRIC") == (112, 112)
    assert output_size(32, 7, stride=2, padding="VALID") == 13
    assert output_size(32, 7, stride=2, padding="SAME") == output_size(32, 7, stride=2, padding="SYMMETRIC") == 16
    assert output_size(31, 2, stride=2, padding="SAME") == 16
    assert output_size(31, 2, stride=2) == 15
    assert output_size(31, 2, stride=2, ceil_mode=True) == 16
    assert output_size(5, 3) == 3
    assert output_size(5, 3, stride=2) == 2


def test_output_size_answers_in_the_form_of_its_size():
    assert output_size(8, 2, stride=2) == 4
    assert output_size((8,), 2, stride=2) == (4,)
    assert output_size([8, 9, 10], (2, 3, 1), stride=(2, 1, 3)) == (4, 7, 4)
    assert output_size(np.int64(8), np.int64(2), stride=np.int32(2)) == 4


# Padding rules


def test_the_published_pads():
    def pads(padding, n, k, s):
        return explicit_pads(padding, (n,), (k,), (s,), (1,))

    assert pads("SAME", 32, 7, 2) == ((2, 3),)
    assert pads("SAME_LOWER", 32, 7, 2) == ((3, 2),)
    assert pads("SYMMETRIC", 32, 7, 2) == ((3, 3),)
    assert pads("SAME", 32, 3, 2) == ((0, 1),)
    assert pads("SYMMETRIC", 32, 3, 2) == ((1, 1),)
    assert pads("CIRCULAR", 8, 4, 2) == pads("REFLECT", 8, 4, 2) == ((1, 2),)
    assert pads("VALID", 8, 4, 2) == ((0, 0),)
    assert pads(3, 8, 4, 2) == ((3, 3),)


def test_symmetric_pads_half_of_the_dilated_extent():
    assert extent((3, 2, 1), (2, 3, 5)) == (5, 4, 1)
    assert explicit_pads("SYMMETRIC", (9, 9, 9), (3, 2, 1), (1, 1, 1), (2, 3, 5)) == ((2, 2), (2, 2), (0, 0))


def test_an_entry_per_axis_is_an_int_or_a_pair():
    assert explicit_pads([1, (2, 0)], (9, 9), (3, 3), (1, 1), (1, 1)) == ((1, 1), (2, 0))


def test_centred_keeps_n_over_s_for_every_window():
    assert centred("SAME", (3, 2)) == "SAME"
    for n, k, s in itertools.product(range(1, 14), WINDOWS, STRIDES):
        assert output_size((n,), k, stride=s, padding=centred("SYMMETRIC", (k,))) == (-(-n // s),)
    assert centred("SYMMETRIC", (7, 3, 1)) == ((3, 3), (1, 1), (0, 0))
    assert centred("SYMMETRIC", (2, 4)) == ((0, 1), (1, 2))


# Errors say what was expected and what came


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        1.5,
        True,
        None,
        "2",
        (2,),
        (2, 2, 2),
        (2, 0),
        (2, 1.0),
        (True, 2),
        np.float32(2),
        np.True_,
        np.arange(1, 3),
    ],
)
@pytest.mark.parametrize("name", ["window", "stride", "dilation"])
def test_one_positive_int_per_axis(name, value):
    arguments = {"window": 3, name: value}
    message = rf"^{name} must be an int >= 1 or 2 of them \(one per spatial axis\), got "
    with pytest.raises(ValueError, match=message) as error:
        output_size((9, 9), **arguments)
    assert str(error.value).endswith(f"got {value!r}")


def test_per_axis_takes_a_minimum():
    assert per_axis(0, 2, "pad", minimum=0) == (0, 0)
    with pytest.raises(ValueError, match="pad must be an int >= 0 or 2 of them"):
        per_axis((0, -1), 2, "pad", minimum=0)


@pytest.mark.parametrize("size", [0, -3, (4, 0), (4.0,), True])
def test_sizes_are_positive_ints(size):
    with pytest.raises(ValueError, match="size must be an int >= 1"):
        output_size(size, 1)


@pytest.mark.parametrize("padding", ["same", "CIRCLE", ""])
def test_unknown_padding_names_list_the_known(padding):
    known = "VALID, SAME, SAME_LOWER, SYMMETRIC, CIRCULAR, REFLECT"
    with pytest.raises(ValueError, match=f"padding must be one of {known}, .*got '{padding}'"):
        output_size((9, 9), 3, padding=padding)


@pytest.mark.parametrize(
    "padding",
    [-1, 1.5, True, None, (1,), (1, 1, 1), (1, -1), ((1, -1), 0), ((1, 2, 3), 0), ((1,), 1), (True, 1), ("a", "b")],
)
def test_wrong_pads_are_refused(padding):
    with pytest.raises(ValueError, match=r"^padding must be .*(an int|\(low, high\) pair).*, got ") as error:
        output_size((9, 9), 3, padding=padding)
    assert str(error.value).endswith(f"got {padding!r}")


@pytest.mark.parametrize(("padding", "limit"), [("CIRCULAR", 2), ("REFLECT", 1)])
def test_a_map_too_small_for_its_border_is_told_what_to_use(padding, limit):
    message = rf"{padding} needs a border of 3 .* size 2 can fill at most {limit}; use SAME or SYMMETRIC"
    with pytest.raises(ValueError, match=message):
        output_size(2, 7, padding=padding)


def test_an_empty_output_names_window_size_and_padding():
    with pytest.raises(ValueError, match=r"empty output: a window of extent 5 .* in size 2 with padding \(1, 1\)"):
        output_size(2, 3, dilation=2, padding=1)


# Receptive fields


def resnet18(stem):
    """Four stages of two basic blocks; the first block of the last three has stride 2."""
    field = through(Field(), *stem)
    for stage, block in itertools.product(range(4), range(2)):
        stride = 2 if stage and not block else 1
        field = through(field, (3, stride, 1), (3, 1, 1))
    return field


def test_the_published_receptive_fields():
    assert resnet18([(3, 1, 1)]) == Field(size=109, jump=8, start=0.0)
    assert resnet18([(7, 2, 3), (3, 2, 1)]) == Field(size=435, jump=32, start=0.0)
    assert through(Field(), (3, 2)).size == 3
    assert through(Field(), (2, 1), (3, 2)).size == 4


def test_a_stride_enlarges_the_field_of_later_layers_only():
    assert Field().through(3, 1).size == Field().through(3, 2).size == 3
    assert through(Field(), (3, 1), (3, 1)).size == 5
    assert through(Field(), (3, 2), (3, 1)).size == 7


def test_fields_start_where_the_padding_puts_them():
    assert Field().through(3, 2, 0) == Field(size=3, jump=2, start=1.0)  # SAME on an even size
    assert Field().through(3, 2, 1) == Field(size=3, jump=2, start=0.0)  # SYMMETRIC
    assert Field().through(2, 2, 0).start == 0.5
    assert Field().through(3, 1, 0, dilation=2) == Field(size=5, jump=1, start=2.0)
    assert Field(jump=4, start=1.5).through(3, 2, 0) == Field(size=9, jump=8, start=5.5)


def test_fields_are_what_a_chain_of_windows_reads(random):
    """Poke one pixel after the other and see which outputs of a random chain of windows change."""
    for _ in range(20):
        n, field, outputs = 200, Field(), [{i} for i in range(200)]
        for _ in range(3):
            k, s, d, low = (int(random.integers(a, b)) for a, b in [(1, 5), (1, 4), (1, 3), (0, 3)])
            rows = reference.sources(((low, low),), (n,), (k,), (s,), (d,))[0]
            outputs = [set().union(*(outputs[p] for p in row if p >= 0)) for row in rows]
            n, field = len(rows), field.through(k, s, low, d)
        i = n // 2
        seen = outputs[i]
        assert max(seen) - min(seen) + 1 == field.size
        assert (max(seen) + min(seen)) / 2 == field.start + i * field.jump


def test_merged_branches_agree_or_report_the_pixels_between_them():
    aligned = Field(size=5, jump=2, start=0.0)
    assert merge_fields(aligned, Field(size=1, jump=2, start=0.0)) == (aligned, 0.0)
    same, symmetric = (through(Field(), (3, 2, low), (3, 1, 1)) for low in (0, 1))
    assert merge_fields(symmetric, Field(jump=2))[1] == 0.0
    merged, apart = merge_fields(same, Field(jump=2))
    assert apart == 1.0
    assert merged == Field(size=7, jump=2, start=1.0)
    assert merge_fields(Field(1, 2, 0.0), Field(1, 2, 3.0)) == (Field(4, 2, 1.5), -3.0)
    with pytest.raises(ValueError, match="different jumps, 2 and 1; their strides must agree"):
        merge_fields(Field(jump=2), Field(jump=1))


# Passes


def one_pass(border="zeros", **options):
    window = Window(size=(4, 4), stride=(2, 2), pads=((1, 1), (1, 1)), dilation=(1, 1), border=border)
    return WindowPass(**{"window": window, "features": 1, **options})


def test_a_pass_counts_its_output_and_its_multiply_adds():
    assert one_pass().output_size((8, 8)) == (4, 4)
    assert one_pass().macs((8, 8)) == 256  # 16 outputs of 16 taps
    assert one_pass().real_share((8, 8)) == 196 / 256  # the published pair: 60 taps fall on padding
    assert one_pass().window.real_taps((8, 8)).sum() == 196
    assert one_pass(border="wrap").real_share((8, 8)) == 1.0
    assert one_pass(fan_in=3, features=5).macs((8, 8)) == 256 * 15
    assert one_pass(separable=True).macs((8, 8)) == 16 * 8


def test_real_taps_are_those_on_pixels():
    for padding, window, stride, dilation in [
        ("SAME", (3, 2), (2, 3), (1, 1)),
        ("SYMMETRIC", (5, 4), (1, 2), (2, 1)),
        (((2, 0), (0, 3)), (3, 4), (2, 2), (1, 2)),
    ]:
        size = (7, 8)
        tables = reference.sources(padding, size, window, stride, dilation)
        expected = sum(real.astype(int) for _, _, real in reference.taps(tables))
        described = make_window(size, window, stride=stride, padding=padding, dilation=dilation)
        np.testing.assert_array_equal(described.real_taps(size), expected)


def test_receptive_fields_run_through_passes_per_axis():
    window = Window(size=(3, 5), stride=(2, 1), pads=((1, 1), (0, 0)), dilation=(1, 1))
    first = WindowPass(window=window, features=1)
    window = Window(size=(3, 2), stride=(1, 2), pads=((1, 1), (0, 1)), dilation=(2, 1))
    second = WindowPass(window=window, features=1)
    assert receptive_fields([first]) == (Field(3, 2, 0.0), Field(5, 1, 2.0))
    assert receptive_fields([first, second]) == (Field(11, 2, 2.0), Field(6, 2, 2.5))
    assert receptive_fields([second], before=receptive_fields([first])) == receptive_fields([first, second])
    assert receptive_fields([]) == (Field(), Field())
