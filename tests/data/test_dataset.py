import hashlib

import numpy as np
import pytest

from strideflax.config import DataConfig
from strideflax.data import DataError, Split, load_dataset
from strideflax.data.dataset import channel_statistics, fingerprint
from strideflax.data.shapes import draw_shapes
from strideflax.data.splitting import balanced_order
from strideflax.errors import UserError


def config(**changes) -> DataConfig:
    values = {"name": "shapes", "dir": None, "train_count": 70, "val_count": 30, "test_count": 20, "stretch": (1, 1)}
    return DataConfig(**(values | changes))


@pytest.fixture
def places(cifar10, tmp_path):
    """The same images in every local layout."""
    cifar10.archive(tmp_path / "packed" / "cifar-10-binary.tar.gz")
    cifar10.archive(tmp_path / "pickled" / "cifar-10-python.tar.gz", "")
    folders = [cifar10.binary(tmp_path / "binary"), cifar10.python(tmp_path / "python")]
    return [*folders, tmp_path / "packed", tmp_path / "pickled"]


def rows(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def test_every_layout_has_the_same_fingerprint(places):
    options = {"name": "cifar10", "train_count": None, "val_count": 5, "test_count": None}
    prints = {load_dataset(config(dir=str(place), **options)).fingerprint for place in places}
    assert len(prints) == 1


def test_cifar10_is_split_without_loss_or_overlap(places, cifar10):
    data = load_dataset(config(name="cifar10", dir=str(places[0]), train_count=None, val_count=5, test_count=None))
    assert (len(data.train), len(data.val), len(data.test)) == (15, 5, 4)
    assert rows(data.train) | rows(data.val) == {image.tobytes() for image in cifar10.images[:20]}
    assert not rows(data.train) & rows(data.val)
    np.testing.assert_array_equal(data.test.images, cifar10.images[20:])
    labels = {image.tobytes(): label for image, label in zip(cifar10.images, cifar10.labels, strict=True)}
    for split in (data.train, data.val, data.test):
        assert split.labels.dtype == np.int32
        assert [labels[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert data.val.centres is None


def test_fewer_training_images_keep_the_validation_split(places):
    options = {"name": "cifar10", "dir": str(places[0]), "val_count": 5, "test_count": 2}
    whole, part = load_dataset(config(train_count=None, **options)), load_dataset(config(train_count=8, **options))
    np.testing.assert_array_equal(whole.val.images, part.val.images)
    assert len(part.train) == 8
    assert rows(part.train) < rows(whole.train)
    assert len(part.test) == 2


def test_shapes_are_drawn_apart_with_their_centres():
    data = load_dataset(config())
    splits = (data.train, data.val, data.test)
    assert [len(split) for split in splits] == [70, 30, 20]
    assert len(set.union(*map(rows, splits))) == 120
    for split in splits:
        assert np.bincount(split.labels).tolist() == [len(split) // 10] * 10
    images, _, centres = draw_shapes(100, seed=0)
    drawn = {image.tobytes(): centre.tolist() for image, centre in zip(images, centres, strict=True)}
    for split in splits[:2]:
        assert split.centres.dtype == np.float32
        assert [drawn[image.tobytes()] for image in split.images] == split.centres.tolist()


def test_no_validation_split_is_an_empty_one():
    assert load_dataset(config(val_count=0)).val.images.shape == (0, 32, 32, 3)


def test_the_same_config_gives_the_same_data():
    assert load_dataset(config()).fingerprint == load_dataset(config()).fingerprint
    assert load_dataset(config()).fingerprint != load_dataset(config(test_count=21)).fingerprint


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"train_count": 9_990, "val_count": 11}, "need at least 10001 images, the training set has 10000"),
        ({"train_count": None, "val_count": 10_000}, "train_count=all and val_count=10000 need at least 10001 images"),
        ({"test_count": 2_001}, "test_count=2001 asks for more than the 2000 test images"),
        ({"name": "cifar10", "dir": "/no/such/folder"}, "no CIFAR-10 in /no/such/folder"),
    ],
)
def test_asking_for_what_is_not_there_says_so(changes, part):
    with pytest.raises(DataError) as caught:
        load_dataset(config(**changes))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_counts_of_a_local_copy_are_its_own(places):
    with pytest.raises(DataError, match="need at least 21 images, the training set has 20"):
        load_dataset(config(name="cifar10", dir=str(places[0]), train_count=20, val_count=1))


def test_stretch_repeats_pixels_and_moves_centres():
    plain, wide = load_dataset(config()), load_dataset(config(stretch=(1, 3)))
    assert wide.train.images.shape == (70, 32, 96, 3)
    for offset in range(3):
        np.testing.assert_array_equal(wide.train.images[:, :, offset::3], plain.train.images)
    np.testing.assert_array_equal(wide.train.centres[:, 0], plain.train.centres[:, 0])
    # Pixel 0 becomes pixels 0, 1, 2, whose middle is at 1.
    np.testing.assert_allclose(wide.train.centres[:, 1], 3 * plain.train.centres[:, 1] + 1, rtol=1e-6)
    np.testing.assert_allclose(wide.mean, plain.mean, rtol=1e-12)


def test_balanced_order_is_a_permutation_that_never_changes():
    labels = np.arange(20) // 2
    order = balanced_order(labels)
    assert sorted(order) == list(range(20))
    for part in (10, 20):
        assert np.bincount(labels[order[:part]]).tolist() == [part // 10] * 10
    # Written down once: an update of NumPy must not move images between splits.
    assert order[:10].tolist() == [11, 3, 13, 15, 1, 18, 17, 8, 6, 4]
    assert sorted(balanced_order(np.zeros(7, int))) == list(range(7))


def test_statistics_are_those_of_the_training_split():
    data = load_dataset(config())
    np.testing.assert_allclose(data.mean, (data.train.images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, (data.train.images / 255).std((0, 1, 2)), rtol=1e-10)
    assert all(type(value) is float for value in data.mean + data.std)


def test_statistics_hold_over_several_chunks_of_bright_images():
    images = np.full((2500, 2, 3, 3), 255, np.uint8)
    images[::2, :, :, 1] = 0
    assert channel_statistics(images) == ((1.0, 0.5, 1.0), (0.0, 0.5, 0.0))


def test_fingerprint_covers_images_labels_and_borders():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    split = Split(images, np.array([3, 4], np.int32))
    expected = hashlib.sha256((2).to_bytes(8, "little") + bytes(range(24)) + bytes([3, 0, 0, 0, 4, 0, 0, 0]))
    assert fingerprint(split) == expected.hexdigest()[:12]
    relabelled = Split(images, np.array([3, 5], np.int32))
    halves = fingerprint(split.take(slice(1)), split.take(slice(1, None)))
    assert len({fingerprint(split), fingerprint(relabelled), halves}) == 3
