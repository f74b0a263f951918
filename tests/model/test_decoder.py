"""Nets that classify pixels: dilation in place of strides, where maps lie, and the way up."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from strideflax.errors import ConfigError
from strideflax.inspection import count_params, inspect_model
from strideflax.model import MiniResNet, ModelConfig, StemConfig, abstract_model
from strideflax.model.config import UPSAMPLERS_OF_UNET
from strideflax.model.decoder import interpolate_to_image
from strideflax.operators.receptive_field import Field
from strideflax.operators.table import DOWNSAMPLERS

NET = ModelConfig(stem=StemConfig(kernel=3), widths=(4, 6, 8), strides=(1, 2, 2))


def compiled(net: MiniResNet, method: str = "__call__"):
    """A net's method as one program, which is quicker than one for each of its layers."""
    return jax.jit(lambda x: getattr(net, method)(x))


def test_a_dilated_net_computes_what_the_strided_one_does_and_outputs_between():
    strided = MiniResNet(replace(NET, padding="CIRCULAR"), key=jax.random.key(0))
    dilated = MiniResNet(replace(NET, padding="CIRCULAR", output_stride=2), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    few, many = compiled(strided, "features")(x), compiled(dilated, "features")(x)
    assert (few.shape, many.shape) == ((2, 4, 4, 8), (2, 16, 16, 8))
    np.testing.assert_allclose(many[:, ::4, ::4], few, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("output_stride", [2, 4, 8])
def test_output_strides_keep_the_receptive_field(output_stride):
    net = abstract_model(replace(NET, output_stride=output_stride))
    (last, _) = net.map_fields((64, 64))[-1]
    assert (last.jump, last.size) == (output_stride, 47)


def test_an_output_stride_that_the_strides_do_not_reach():
    with pytest.raises(ConfigError, match=r"output_stride must be one of 2, 4, 8, which the strides reach.* got 3"):
        replace(NET, output_stride=3)
    with pytest.raises(ConfigError, match=r"one of 4, 8, 16"):
        replace(NET, stem=StemConfig(pool="max_pool"), output_stride=2)


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0])
def test_logits_come_back_to_where_they_were_taken(phase):
    """A ramp over the image, seen at every second pixel from ``phase`` on, is the ramp again between its samples."""
    coarse = jnp.broadcast_to((2 * jnp.arange(8.0) + phase)[None, :, None, None], (1, 8, 8, 1))
    fields = (Field(size=3, jump=2, start=phase), Field(size=3, jump=2, start=phase))
    found = interpolate_to_image(coarse, fields, (16, 16))
    np.testing.assert_allclose(found[0, 2:14, 5, 0], np.arange(2.0, 14.0), atol=1e-5)


@pytest.mark.parametrize("name", UPSAMPLERS_OF_UNET[:-1])
@pytest.mark.parametrize("downsample", ["strided_conv", "max_pool"])
def test_the_way_up_does_not_move_a_map(name, downsample):
    """Every upsampler puts the middle of what it spreads where the operator on the way down took it from."""
    net = abstract_model(replace(NET, decoder="unet", upsample=name, downsample=downsample))
    fields = net.map_fields((64, 64))
    phase = net.ups[0].up.phase()[0]
    moved = (fields[3][0].start - fields[2][0].start) / fields[2][0].jump - phase
    assert moved == (-0.5 if (name, downsample) == ("nearest", "strided_conv") else 0), "nearest has blocks alone"


def test_every_operator_has_a_way_up_and_its_rows_add_up():
    for name in DOWNSAMPLERS:
        net = abstract_model(replace(NET, decoder="unet", downsample=name), classes=5)
        found = inspect_model(net, (30, 44))
        assert found.params == count_params(net), name
        assert found.layers[-1].output == (30, 44, 5), name


@pytest.mark.parametrize(
    "changes", [{"decoder": "resize"}, {"decoder": "resize", "output_stride": 2}, {"decoder": "unet"}]
)
def test_logits_for_each_pixel_of_any_size(changes):
    net = MiniResNet(replace(NET, **changes), classes=5, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 27, 38, 3))
    logits = jax.eval_shape(net, x)
    assert (logits.shape, logits.dtype) == ((2, 27, 38, 5), jnp.float32)


def test_a_unet_of_adaptive_phases_moves_with_the_image():
    """Trained or not, a circular shift of the map behind the stem moves the decoded map as far."""
    config = replace(NET, stem=StemConfig(kernel=3, stride=1), decoder="unet", downsample="aps", padding="CIRCULAR")
    net = MiniResNet(config, classes=5, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    run = compiled(net)
    logits = run(x)
    for shift in ((1, 0), (3, 2)):
        moved = run(jnp.roll(x, shift, (1, 2)))
        np.testing.assert_allclose(moved, jnp.roll(logits, shift, (1, 2)), atol=1e-4)


def test_a_shared_layer_starts_equal_with_and_without_a_decoder():
    plain, dense = (MiniResNet(replace(NET, decoder=name), key=jax.random.key(3)) for name in (None, "unet"))
    np.testing.assert_array_equal(plain.blocks[1].conv.kernel[...], dense.blocks[1].conv.kernel[...])


def test_a_pixel_depends_on_nothing_outside_the_box_of_the_last_row():
    net = MiniResNet(replace(NET, decoder="unet", upsample="blur"), classes=2, key=jax.random.key(0))
    vertical, _ = inspect_model(net, (128, 128)).layers[-1].fields
    pixel, x = 61, jax.random.normal(jax.random.key(1), (1, 128, 128, 3))
    gradient = jax.jit(jax.grad(lambda x: net(x)[0, pixel, pixel, 0]))(x)
    rows = np.flatnonzero(np.abs(gradient[0]).sum((1, 2)))
    centre = vertical.start + pixel * vertical.jump
    assert centre - vertical.size / 2 <= rows[0]
    assert rows[-1] <= centre + vertical.size / 2
    assert len(rows) > 0.7 * vertical.size, "the box is not much larger than it has to be"


def test_what_a_decoder_may_not_have():
    with pytest.raises(ConfigError, match=r"decoder must be one of resize, unet, got 'fcn'"):
        replace(NET, decoder="fcn")
    with pytest.raises(ConfigError, match=r"upsample must be one of nearest, linear, blur, transposed_conv"):
        replace(NET, decoder="unet", upsample="max_pool")
    with pytest.raises(ConfigError, match=r"upsample must be another one unless model.downsample is aps or lps"):
        replace(NET, decoder="unet", upsample="polyphase")
    with pytest.raises(ConfigError, match=r"upsample must be None unless model.decoder is 'unet'"):
        replace(NET, decoder="resize", upsample="blur")


def test_in_training_lps_and_the_way_back_mix_phases_with_the_same_shares():
    config = replace(
        NET, widths=(4, 6), blocks=(1, 1), strides=(1, 2), decoder="unet", downsample="lps", upsample="polyphase"
    )
    net = MiniResNet(config, classes=3, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))

    @nnx.jit
    def loss_and_gradient(net, key):
        return nnx.value_and_grad(lambda net: (net(x, train=True, key=key)[..., 0] ** 2).mean())(net)

    loss, gradient = loss_and_gradient(net, jax.random.key(2))
    scores = [leaf[...] for path, leaf in nnx.to_flat_state(gradient) if "score" in path]
    assert scores
    assert all(np.isfinite(score).all() and np.abs(score).max() > 0 for score in scores)
    assert loss != loss_and_gradient(net, jax.random.key(3))[0], "the shares are drawn"
