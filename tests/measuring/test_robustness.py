import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.errors import UserError
from strideflax.measuring.corruptions import CORRUPTIONS
from strideflax.measuring.robustness import CIFAR10_C, cifar10_c_errors, corruption_errors, error_rate


def bright_net(images):
    """Class 1 where the first channel's mean is above half."""
    mean = images[..., 0].mean((1, 2))
    return jnp.stack([127.5 - mean, mean - 127.5], 1)


def test_error_rate_by_hand():
    images = np.stack([np.full((2, 2, 3), v, np.uint8) for v in (0, 100, 200, 255)])
    assert error_rate(bright_net, images, np.array([0, 1, 1, 0])) == 0.5


def test_errors_under_corruptions_and_their_means():
    images = np.repeat(np.array([60, 150], np.uint8), 3 * 8 * 8).reshape(2, 8, 8, 3)
    reports = []
    result = corruption_errors(bright_net, images, np.array([0, 1]), progress=lambda *r: reports.append(r))
    # Constant images: only brightness can lift the dark one over the edge, at 60 + 0.32 x 255 = 141.6 and at 0.4.
    assert result["errors"]["brightness"] == {"1": 0, "2": 0, "3": 0, "4": 0.5, "5": 0.5}
    assert result["mean_errors"] == {name: 0.2 if name == "brightness" else 0 for name in CORRUPTIONS}
    assert result["mean_error"] == pytest.approx(0.02)
    assert result["clean_error"] == 0
    assert reports[-1] == (50, 50)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([[[[0.0]]]], "must be an array"),
        (np.zeros((0, 8, 8, 3), np.float32), "none of them 0"),
        (np.zeros((2, 8, 8, 3), np.int32), "must be uint8, or floats from 0 to 1, .* got int32"),
        (np.zeros((2, 8, 8, 4), np.float32), r"got float32 \[2, 8, 8, 4\]"),
    ],
)
def test_what_cannot_be_corrupted(images, expected):
    with pytest.raises(ValueError, match=expected):
        corruption_errors(bright_net, images, np.array([0, 1]))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: {"logits": bright_net(x)}, "must return one array .* got a dict of 2"),
        (lambda x: bright_net(x)[:1], r"got shape \[1, 2\] of 2"),
    ],
)
def test_what_is_no_answer_for_each_image(function, expected):
    with pytest.raises(ValueError, match=expected):
        error_rate(function, np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]))


@pytest.fixture
def cifar10_c(tmp_path):
    """Two images per severity: dark until severity 3, bright from there on; both labelled dark."""
    labels = np.zeros(10, np.int64)
    np.save(tmp_path / "labels.npy", labels)
    for name in CIFAR10_C:
        images = np.zeros((10, 32, 32, 3), np.uint8)
        images[6:] = 255 if name != "fog" else 0
        images[7] = 0
        np.save(tmp_path / f"{name}.npy", images)
    return tmp_path


def test_cifar10_c_is_the_plain_mean_over_corruptions_and_severities(cifar10_c):
    result = cifar10_c_errors(bright_net, cifar10_c)
    assert result["errors"]["snow"] == {"1": 0, "2": 0, "3": 0, "4": 0.5, "5": 1}
    assert result["mean_errors"]["snow"] == pytest.approx(0.3)
    assert result["mean_errors"]["fog"] == 0
    assert result["mean_error"] == pytest.approx(0.3 * 14 / 15)
    assert result["images"] == 2
    first = cifar10_c_errors(bright_net, cifar10_c, count=1)
    assert first["errors"]["snow"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 1}
    assert first["images"] == 1


def test_a_folder_that_is_not_cifar10_c_is_named(cifar10_c, tmp_path):
    np.save(cifar10_c / "frost.npy", np.zeros((10, 32, 32, 3)))
    with pytest.raises(UserError, match=r"frost\.npy must be uint8 of shape"):
        cifar10_c_errors(bright_net, cifar10_c)
    (cifar10_c / "snow.npy").unlink()
    with pytest.raises(UserError, match=r"snow\.npy can't be read") as error:
        cifar10_c_errors(bright_net, cifar10_c)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"labels\.npy can't be read"):
        cifar10_c_errors(bright_net, tmp_path / "nowhere")
