"""The measures of any function: Flax modules, Linen, plain JAX, floats and bytes; aliasing where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax
from surgery import nets

from strideflax import measure
from strideflax.measuring import site_aliasing
from strideflax.operators import BlurPool
from strideflax.surgery import replace_downsampling

COUNT = 6
BYTES = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 12, 3), np.uint8)
FLOATS = (BYTES / 255).astype(np.float32)
LABELS = np.arange(COUNT) % 3


class Net(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = jax.jit(nnx.relu)(self.conv(x))
        x = nnx.max_pool(x, (2, 2), (2, 2))
        return self.head(x[:, ::2, ::1].mean((1, 2)))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3), strides=2)(x))
        return linen.Dense(3)(linen.avg_pool(x, (2, 2), (2, 2)).mean((1, 2)))


def plain(x):
    return x.astype(jnp.float32).mean((1, 2))


NNX = nets.made(Net)
LINEN = LinenNet()
VARIABLES = LINEN.init(jax.random.key(0), FLOATS[:1])


def linen_predict(x):
    return LINEN.apply(VARIABLES, x)


@pytest.mark.parametrize(
    ("predict", "images"),
    [(NNX, FLOATS), (linen_predict, FLOATS), (plain, BYTES)],
    ids=["nnx", "linen", "plain"],
)
def test_every_measure_takes_any_function(predict, images):
    shifts = measure.shift_consistency(predict, images, LABELS, max_shift=1)
    assert list(shifts["worst_case_accuracy"]) == ["0", "1"]
    assert shifts["worst_case_accuracy"]["0"] == shifts["unshifted_accuracy"] >= shifts["worst_case_accuracy"]["1"]
    fractional = measure.fractional_shift_consistency(predict, images, parts=(2,))
    assert list(fractional) == ["consistency"]
    calibrated = measure.calibration(predict, images, LABELS)
    assert calibrated["accuracy"] == shifts["unshifted_accuracy"]
    assert 0 <= calibrated["expected_calibration_error"] <= 1
    field = measure.receptive_field(predict, images)
    assert field["map"].shape == images.shape[1:3]
    assert field["area_pixels"] > 16
    sites = measure.aliasing(predict, images)
    assert len(sites) == {NNX: 3, linen_predict: 2, plain: 0}[predict]
    assert all(0 < site["alias_energy"] < 1 for site in sites.values())
    costs = measure.cost(predict, images, repeats=2)
    assert costs["images_per_second"] > 0
    convolution, pool, head = 8 * 6 * 27 * 4, 4 * 3 * 4 * 4, 4 * 3
    assert costs["macs"] == (0 if predict is plain else convolution + pool + head)


def test_consistency_without_labels():
    found = measure.shift_consistency(plain, BYTES, border="circular", max_shift=1)
    assert found["consistency"]["1"] == 1.0
    assert set(found) == {"consistency", "agreement_map"}


def test_floats_are_corrupted_as_bytes_are():
    def of_bytes(x):
        return of_floats(x.astype(jnp.float32) / 255)

    def of_floats(x):
        return x.mean((1, 2))

    bytes_found = measure.robustness(of_bytes, BYTES[:2], LABELS[:2])
    assert measure.robustness(of_floats, FLOATS[:2], LABELS[:2]) == bytes_found
    assert measure.robustness(of_floats, FLOATS[:2].astype(jnp.bfloat16), LABELS[:2]).keys() == bytes_found.keys()
    with pytest.raises(ValueError, match="must be from 0 to 1 to be corrupted, got -1 to 1; normalise inside predict"):
        measure.robustness(of_floats, 2 * FLOATS - 2 * FLOATS.max() + 1, LABELS)


def contrast(x):
    x = x.astype(jnp.float32) / 255
    contrast = (x - jnp.median(x, axis=(1, 2), keepdims=True)) ** 2
    return contrast.reshape(len(x), 8, 4, 8, 4, 3).mean((2, 4, 5))[..., None]


def test_detail_finds_objects_in_a_map_of_contrast_and_not_in_a_mean_of_all():
    found = measure.detail(contrast, counts=(200, 60, 60))
    assert found["map_size"] == [8, 8]
    assert found["error_pixels"] < 0.7 * found["centre_guess_error_pixels"]
    mean = measure.detail(plain, counts=(60, 20, 20), stretch=(2, 1))
    assert mean["map_size"] == [1, 1]
    assert mean["error_pixels"] > 0.8 * mean["centre_guess_error_pixels"]


def strided_slice(x):
    return x[:, ::2, ::2]


def test_aliasing_is_what_subsampling_folds():
    row = np.arange(16)
    low = np.cos(2 * np.pi * 2 * row / 16)[:, None] * np.ones(16)
    high = np.cos(2 * np.pi * 7 * row / 16)[:, None] * np.ones(16)
    for wave, expected in ((low, 0.0), (high, 1.0)):
        images = wave[None, :, :, None].astype(np.float32)
        (site,) = measure.aliasing(strided_slice, images).values()
        assert site["layer"] == "slice 1×1 /2"
        assert site["alias_energy"] == pytest.approx(expected, abs=1e-6)


def test_what_is_made_of_nothing_is_no_site():
    def with_positions(x):
        return strided_slice(x + jnp.arange(x.shape[2], dtype=x.dtype).reshape(1, 1, -1, 1))

    assert [site["layer"] for site in measure.aliasing(with_positions, FLOATS).values()] == ["slice 1×1 /2"]


def test_the_dense_map_of_a_strided_convolution_is_what_is_measured():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 2))

    def convolve(x, stride):
        return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    (of_conv,) = measure.aliasing(lambda x: convolve(x, 2), FLOATS).values()
    pads = ((0, 1), (0, 1))  # of the strided one
    dense = lax.conv_general_dilated(FLOATS, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    (of_slice,) = measure.aliasing(strided_slice, np.asarray(dense)).values()
    assert of_conv["alias_energy"] == pytest.approx(of_slice["alias_energy"], rel=1e-5)


def test_operators_of_the_library_are_sites_too_and_a_blur_lowers_the_share():
    before = measure.aliasing(NNX, FLOATS)
    new, _ = replace_downsampling(NNX, BlurPool, FLOATS, where="conv")
    after = measure.aliasing(new, FLOATS)
    assert set(after) - set(before) == {"conv/downsample"}
    assert after["conv/downsample"]["layer"] == "BlurPool"
    assert after["conv/downsample"]["alias_energy"] < before["conv"]["alias_energy"]
    assert site_aliasing(new, [jnp.asarray(FLOATS)])["conv/downsample"]["alias_energy"] is not None
    filtered, _ = replace_downsampling(NNX, BlurPool, FLOATS, where="conv", placement="before")
    assert measure.aliasing(filtered, FLOATS)["conv"]["alias_energy"] < before["conv"]["alias_energy"]


def test_a_module_compiles_once_for_all_batches():
    traces = []

    class Counting(nnx.Module):
        def __call__(self, x):
            traces.append(x.shape)
            return x.mean((1, 2))

    measure.shift_consistency(Counting(), FLOATS, max_shift=1, batch_size=2)
    assert len(traces) == 1
