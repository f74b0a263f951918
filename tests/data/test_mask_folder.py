"""Pairs of images and masks: what is read, and one line for every mistake."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from strideflax.commands.data import describe
from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset
from strideflax.data.dataset import VOID
from strideflax.data.image_files import find_image_files
from strideflax.data.mask_folder import read_masked_images


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path, random):
    """Six images for training and three for testing, of 10 x 14 pixels, with four classes."""
    for split, count in (("train", 6), ("test", 3)):
        for number in range(count):
            for kind in ("images", "labels"):
                (tmp_path / split / kind).mkdir(parents=True, exist_ok=True)
            image = random.integers(0, 256, (10, 14, 3), np.uint8)
            mask = random.integers(0, 4, (10, 14), np.uint8)
            mask[0, 0] = VOID
            (tmp_path / split / "images" / f"{number}.png").write_bytes(png(image))
            (tmp_path / split / "labels" / f"{number}.png").write_bytes(png(mask))
    return tmp_path


def config(folder, **changes):
    return DataConfig(**{"name": "mask_folder", "dir": str(folder), "val_count": 2} | changes)


def test_pairs_are_read_as_they_are(folder):
    found = read_masked_images(folder)
    assert found.classes == ("class 0", "class 1", "class 2", "class 3")
    assert found.train.images.shape == (6, 10, 14, 3)
    for number in range(6):
        for kind, arrays in (("images", found.train.images), ("labels", found.train.labels)):
            written = np.asarray(Image.open(folder / "train" / kind / f"{number}.png"))
            np.testing.assert_array_equal(arrays[number], written)
    assert (found.train.labels[:, 0, 0] == VOID).all()


def test_a_folder_without_validation_images_gives_some_of_its_training_images(folder):
    dataset = load_dataset(config(folder))
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [4, 2, 3]
    together = np.concatenate([dataset.train.images, dataset.val.images])
    assert len(np.unique(together, axis=0)) == 6
    assert dataset.model_arguments == {"classes": 4, "in_features": 3}
    wide = load_dataset(config(folder, stretch=(1, 2)))
    np.testing.assert_array_equal(wide.train.labels, dataset.train.labels.repeat(2, axis=2))


def test_an_archive_of_the_folder_is_the_same(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive") / "pairs.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(folder, "pairs")
    assert load_dataset(config(archive)).fingerprint == load_dataset(config(folder)).fingerprint


def test_hidden_files_are_passed_over(folder, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole") / "pairs"
    shutil.copytree(folder, whole / "inside")
    for place in (whole, whole / "inside" / "train" / "images"):
        (place / "._0.png").write_bytes(b"no")
    assert load_dataset(config(whole)).fingerprint == load_dataset(config(folder)).fingerprint
    found = find_image_files([whole])
    assert len(found) == 18
    assert not [path for path in found if path.name.startswith(".")]


def test_a_label_may_mean_no_class_and_the_classes_have_names(folder):
    (folder / "classes.txt").write_text("sky\nroad\ntree\n")
    dataset = load_dataset(config(folder, void_label=3))
    assert dataset.classes == ("sky", "road", "tree")
    assert set(np.unique(dataset.train.labels)) == {0, 1, 2, VOID}


def test_the_command_says_how_much_of_the_pixels_a_class_has(folder):
    (folder / "classes.txt").write_text("sky\nroad\ntree\nsign\n")
    dataset = load_dataset(config(folder))
    shares = np.bincount(dataset.train.labels[dataset.train.labels != VOID]) / (dataset.train.labels != VOID).sum()
    assert describe(dataset)["classes"].startswith(f"sky ({shares[0]:.1%}), road ({shares[1]:.1%})")


def test_images_of_other_kinds_are_read_as_in_a_folder_of_classes(folder, random):
    path = folder / "train" / "images" / "0.png"

    def read(image, **options):
        image.save(path, **options)
        return read_masked_images(folder).train.images[0]

    deep = random.integers(0, 2**16, (10, 14), np.uint16)
    np.testing.assert_array_equal(read(Image.fromarray(deep))[..., 0], deep >> 8)
    assert (read(Image.new("RGBA", (14, 10), (200, 0, 0, 0))) == 255).all()
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side
    stored = random.integers(0, 256, (14, 10, 3), np.uint8)
    np.testing.assert_array_equal(read(Image.fromarray(stored), exif=turned), np.rot90(stored, -1))


def replaced(folder, name, content):
    (folder / name).write_bytes(content)


MISTAKES = {
    "mask of another size": (
        lambda f: replaced(f, "train/labels/1.png", png(np.zeros((10, 12), np.uint8))),
        r"labels/1.png has 10 x 12 pixels, expected 10 x 14 as its image",
    ),
    "image of another size": (
        lambda f: [replaced(f, f"train/{k}/2.png", png(np.zeros((9, 14), np.uint8))) for k in ("images", "labels")],
        r"images/2.png has 9 x 14 pixels, expected 10 x 14 as the images before it",
    ),
    "coloured mask": (
        lambda f: replaced(f, "test/labels/0.png", png(np.zeros((10, 14, 3), np.uint8))),
        r"labels/0.png has colours \(RGB\), expected one channel",
    ),
    "missing mask": (lambda f: (f / "train/labels/4.png").unlink(), r"images/4.png has no mask of the same name"),
    "missing image": (lambda f: (f / "test/images/1.png").unlink(), r"labels/1.png has no image of the same name"),
    "damaged mask": (
        lambda f: replaced(f, "train/labels/0.png", b"no"),
        r"labels/0.png can't be read as an image: not a JPEG, ",
    ),
    "two images of one name": (
        lambda f: replaced(f, "train/images/0.jpg", b"no"),
        r"images/0.jpg and .*images/0.png have one name, expected one file of each name",
    ),
    "masks in two folders": (
        lambda f: [(f / "test/masks").mkdir(), replaced(f, "test/masks/2.png", b"no")],
        r"labels/2.png and .*masks/2.png have one name",
    ),
    "class out of range": (
        lambda f: (f / "classes.txt").write_text("sky\nroad\n"),
        r"labels/\d.png has the number [23], expected 0 to 1 \(2 classes\) or 255 for none",
    ),
    "classes of one name": (lambda f: (f / "classes.txt").write_text("sky\nsky\n"), r"each once; got sky, sky"),
    "masks of one class": (
        lambda f: [replaced(f, f"train/labels/{i}.png", png(np.full((10, 14), 2, np.uint8))) for i in range(6)],
        r"hold class 2 alone, expected two or more classes",
    ),
    "masks without any class": (
        lambda f: [replaced(f, f"train/labels/{i}.png", png(np.full((10, 14), VOID, np.uint8))) for i in range(6)],
        r"hold no class, expected two or more classes",
    ),
    "no test images": (lambda f: (f / "test").rename(f / "tests"), r"has no test images"),
}


@pytest.mark.parametrize(("spoil", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(folder, spoil, line):
    spoil(folder)
    with pytest.raises(DataError, match=line) as error:
        load_dataset(config(folder))
    assert "\n" not in str(error.value)


def test_more_images_than_there_are(folder, tmp_path):
    with pytest.raises(DataError, match=r"test_count=4 asks for more than the 3 images"):
        load_dataset(config(folder, test_count=4))
    with pytest.raises(DataError, match=r"val_count=6 leaves no training images of 6"):
        load_dataset(config(folder, val_count=6))
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        load_dataset(config(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"^config.data.name is 'camvid', so --config.data.dir=DIR must name a folder"):
        load_dataset(DataConfig(name="camvid", val_count=0))
