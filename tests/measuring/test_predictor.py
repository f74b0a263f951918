import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from strideflax.measuring.batches import in_batches
from strideflax.measuring.predictor import feature_function, predictor


class Net(nnx.Module):
    def __init__(self):
        self.scale = nnx.Param(jnp.array(3.0))

    def __call__(self, x):
        return self.features(x).mean((1, 2))

    def features(self, x):
        return x[:, ::2] * self.scale[...]


def test_every_image_counts_once_whatever_the_batch():
    images, reports = np.arange(7 * 12, dtype=np.uint8).reshape(7, 2, 2, 3), []
    expected = images.astype(int).sum((1, 2))
    for batch_size in (1, 3, 7, 20):
        outputs = in_batches(
            lambda x: x.astype(jnp.int32).sum((1, 2)),
            images,
            batch_size=batch_size,
            progress=lambda *report: reports.append(report),
        )
        assert np.array_equal(outputs, expected)
    assert reports[7:] == [(3, 7), (6, 7), (7, 7), (7, 7), (7, 7)]  # after seven batches of one image


def test_a_model_becomes_a_function_of_pixels_with_its_weights_as_arguments():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    normalized = (images / 255 - np.array(mean)) / np.array(std)
    predict, features = predictor(Net(), mean, std), feature_function(Net(), mean, std)
    assert np.allclose(features(images), 3 * normalized[:, ::2], atol=1e-5)
    assert np.allclose(in_batches(predict, images), 3 * normalized[:, ::2].mean((1, 2)), atol=1e-5)
    assert [leaf.shape for leaf in jax.tree.leaves(predict)] == [()]
