"""A user's folder of images: what is accepted, how it is split, and what is said about each mistake."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset
from strideflax.data.dataset import Dataset
from strideflax.data.image_files import find_image_files
from strideflax.files import cache_folder

SIDE = 16
DIGITS = Path(__file__).parents[3] / "shared" / "images" / "sign_language_digits.tar.xz"


def picture(seed: int, side: int = SIDE, channels: int = 3) -> np.ndarray:
    """Return random blocks of pixels, whose perceptual hashes have little in common."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, channels), np.uint8)
    return blocks.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    return path


def write_classes(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    for name, count in counts.items():
        for i in range(count):
            write(root / name / f"{i:03d}.png", picture(seed))
            seed += 1
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "pets", {"cat": 20, "dog": 10})


def load(root: Path, **changes) -> Dataset:
    return load_dataset(DataConfig(name="folder", dir=str(root), **changes))


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_a_folder_of_classes_is_split_by_class_without_loss_or_overlap(root):
    data = load(root)
    assert (data.name, data.classes) == ("pets (folder)", ("cat", "dog"))
    assert data.train.images.shape[1:] == (SIDE, SIDE, 3)
    counts = [np.bincount(split.labels).tolist() for split in (data.train, data.val, data.test)]
    assert counts == [[15, 7], [1, 1], [4, 2]]
    splits = [rows(split.images) for split in (data.train, data.val, data.test)]
    assert len(splits[0] | splits[1] | splits[2]) == sum(map(len, splits)) == 30
    label_of_image = {picture(seed).tobytes(): int(seed >= 20) for seed in range(30)}
    for split in (data.train, data.val, data.test):
        assert [label_of_image[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert "a fifth of each class for the test" in data.source


def test_the_split_stays_whatever_the_seed_and_the_first_images_are_of_all_classes(root):
    first, second = load(root), load(root)
    np.testing.assert_array_equal(first.test.images, second.test.images)
    assert first.fingerprint == second.fingerprint
    assert set(first.train.labels[:8]) == {0, 1}


def test_given_splits_stay(tmp_path):
    root = tmp_path / "split"
    for i, (split, count) in enumerate((("Train", 6), ("valid", 2), ("TEST", 3))):
        write_classes(root / split, {"a": count, "b": count}, seed=100 * i)
    data = load(root)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 6)
    assert rows(data.test.images) == {picture(200 + i).tobytes() for i in range(6)}
    assert "split as it came" in data.source


def test_without_a_test_folder_the_test_images_come_from_train(tmp_path):
    write_classes(tmp_path / "train", {"a": 20, "b": 20})
    write_classes(tmp_path / "val", {"a": 3, "b": 3}, seed=100)
    data = load(tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (32, 6, 8)


def test_a_test_image_that_is_a_training_image_is_told(tmp_path):
    write_classes(tmp_path / "train", {"a": 5, "b": 5})
    write_classes(tmp_path / "test", {"a": 2, "b": 2}, seed=100)
    shutil.copy(tmp_path / "train" / "a" / "000.png", tmp_path / "test" / "a" / "copy.png")
    assert "1 test image among the training images too" in load(tmp_path).source


def test_near_duplicates_stay_on_one_side(tmp_path):
    """Each picture comes as five frames that differ by JPEG's losses and a little noise."""
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for scene in range(8):
            base = picture(scene if label == "a" else 50 + scene, 32).astype(int)
            for frame in range(5):
                pixels = np.clip(base + random.integers(-4, 5, base.shape), 0, 255).astype(np.uint8)
                path = tmp_path / label / f"{scene}_{frame}.jpg"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(path, quality=80 + frame)
    data = load(tmp_path)
    assert "64 near-duplicates kept beside their like" in data.source

    def scenes(split) -> set[tuple[int, int]]:
        found = set()
        for image, label in zip(split.images.astype(int), split.labels, strict=True):
            candidates = [abs(picture(scene + 50 * label, 32).astype(int) - image).mean() for scene in range(8)]
            found.add((int(label), int(np.argmin(candidates))))
        return found

    splits = [scenes(split) for split in (data.train, data.val, data.test)]
    assert len(splits[0] | splits[1] | splits[2]) == sum(map(len, splits)) == 16
    assert {label for label, _ in splits[2]} == {0, 1}


def test_counts_and_size(root):
    data = load(root, train_count=9, val_count=6, test_count=3, size=24)
    assert (len(data.train), len(data.val), len(data.test)) == (9, 6, 3)
    assert data.test.images.shape[1:] == (24, 24, 3)
    assert np.bincount(data.train.labels).tolist() == [6, 3]


def test_grey_images_have_one_channel(tmp_path):
    for i, label in enumerate("aabb" * 3):
        write(tmp_path / label / f"{i}.png", picture(i, channels=1))
    data = load(tmp_path)
    assert data.channels == 1
    assert data.model_arguments == {"classes": 2, "in_features": 1}
    write(tmp_path / "a" / "coloured.png", picture(99))
    assert load(tmp_path).channels == 3


def test_names_with_spaces_umlauts_and_broken_bytes(tmp_path):
    root = write_classes(
        tmp_path / "Mein Ördner",
        {"größe \N{LATIN SMALL LETTER A}\N{COMBINING DIAERESIS}": 5, "b c": 5, "red\n\x1b[31m": 5},
    )
    broken = os.fsencode(root) + b"/latin1-\xfc"
    os.mkdir(broken)
    for i in range(5):
        shutil.copy(root / "b c" / f"{i:03d}.png", broken + b"/%d.png" % i)
    assert load(root).classes == (
        "b c",
        "größe \N{LATIN SMALL LETTER A WITH DIAERESIS}",
        "latin1-\N{REPLACEMENT CHARACTER}",
        "red\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m",
    )


def test_class_folders_may_be_links_and_strange_files_of_other_systems_are_passed_over(root, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(root / name)
    (linked / "README.txt").write_text("about")
    (linked / "cat" / "Thumbs.db").write_text("")
    (linked / "cat" / ".DS_Store").write_text("")
    assert load(linked).fingerprint == load(root).fingerprint


# The cache


def test_the_second_time_comes_from_the_cache_and_changed_bytes_do_not(root, monkeypatch):
    first = load(root)
    (entry,) = cache_folder().iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("strideflax.data.encoded_images.decode_image", None)  # is not needed
        assert load(root).fingerprint == first.fingerprint
    changed = root / "cat" / "000.png"
    before = changed.stat()
    write(changed, picture(0)[::-1])
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(root).fingerprint != first.fingerprint
    assert list(cache_folder().iterdir()) == [entry]


def test_a_damaged_cache_is_decoded_again(root):
    first = load(root)
    (entry,) = cache_folder().iterdir()
    data = bytearray(entry.read_bytes())
    data[-100] ^= 1
    entry.write_bytes(data)
    assert load(root).fingerprint == first.fingerprint


def test_a_file_that_changes_while_it_is_read_is_not_kept(root):
    def overwrite(what, done, total):
        if what == "looking at images" and done == total:
            write(root / "cat" / "007.png", picture(500))

    with pytest.raises(DataError, match=r"cat/007.png in .* changed while it was read; try again"):
        load_dataset(DataConfig(name="folder", dir=str(root)), overwrite)
    assert not cache_folder().exists() or not list(cache_folder().iterdir())


def test_progress_is_told(root):
    told = []
    load_dataset(DataConfig(name="folder", dir=str(root)), lambda *report: told.append(report))
    assert told[0] == ("looking at images", 1, 30)
    assert told[-1] == ("decoding images", 30, 30)


# Mistakes, each answered in one line


def test_unreadable_files_are_refused_by_name_and_left_out_if_asked(root):
    (root / "cat" / "notes.txt").write_text("text")
    (root / "cat" / "empty.png").write_bytes(b"")
    whole = (root / "dog" / "000.png").read_bytes()
    (root / "dog" / "000.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as refused:
        load(root)
    told = str(refused.value)
    assert told.startswith(
        f"3 files in {root} can't be read as images: cat/empty.png (an empty file), cat/notes.txt (not a "
    )
    assert "dog/000.png (damaged: " in told
    assert told.endswith("leave out with --config.data.skip_unreadable=true")
    data = load(root, skip_unreadable=True)
    assert len(data.train) + len(data.val) + len(data.test) == 29
    assert "3 files left out" in data.source


def no_folder(root):
    shutil.rmtree(root)
    return "there is no folder {root}"


def a_file(root):
    shutil.rmtree(root)
    root.write_text("")
    return "{root} is a file, expected a folder of class folders"


def empty(root):
    shutil.rmtree(root)
    root.mkdir()
    return "{root} holds no folders, expected one folder per class"


def images_alone(root):
    shutil.rmtree(root / "cat")
    for path in (root / "dog").iterdir():
        path.rename(root / path.name)
    (root / "dog").rmdir()
    return "{root} holds 10 images and no folders, expected one folder per class"


def one_class(root):
    shutil.rmtree(root / "cat")
    return "{root} has one class folder, 'dog', expected two or more classes"


def one_image(root):
    write(root / "fox" / "only.png", picture(77))
    return "each class needs 2 images or more, one to train on and one to test; 'fox' has 1"


def empty_class(root):
    (root / "fox").mkdir()
    return "{root}/fox is empty, expected the images of a class"


def unpacked_into_a_folder(root):
    inside = root / "archive"
    inside.mkdir()
    (root / "cat").rename(inside / "cat")
    (root / "dog").rename(inside / "dog")
    return (
        "nested too deep: expected the images of one class; are the class folders in --config.data.dir={root}/archive?"
    )


def splits_unpacked_into_a_folder(root):
    inside = root / "archive" / "Train"
    inside.mkdir(parents=True)
    (root / "cat").rename(inside / "cat")
    (root / "dog").rename(inside / "dog")
    return "holds the folder 'Train', nested too deep: expected the images of one class; are the class folders in " + (
        "--config.data.dir={root}/archive?"
    )


def no_training_images(root):
    (root / "test").mkdir()
    (root / "cat").rename(root / "test" / "cat")
    (root / "dog").rename(root / "test" / "dog")
    return "{root} has test alone, expected train too"


def a_pipe(root):
    os.mkfifo(root / "cat" / "pipe.png")
    return "{root}/cat/pipe.png is neither a file nor a folder"


def breeds_in_a_class(root):
    write(root / "cat" / "siamese" / "1.png", picture(77))
    return "{root}/cat holds the folder 'siamese', nested too deep: expected the images of one class"


def images_beside_folders(root):
    write(root / "stray.png", picture(77))
    return "{root}/stray.png lies beside the class folders"


def a_loop(root):
    (root / "cat" / "again").symlink_to(root)
    return "{root}/cat/again is a link to a folder that it lies in, a loop"


def a_link_to_itself(root):
    (root / "self").symlink_to("self")
    return "{root}/self can't be read: Too many levels of symbolic links"


def a_link_to_nowhere(root):
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    return "{root}/cat/gone.png can't be read: No such file or directory"


def a_folder_beside_splits(root):
    (root / "cat").rename(root / "train")
    return "{root}/dog lies beside train, expected only train, val and test there, or only class folders"


def two_names_of_one_split(root):
    (root / "cat").rename(root / "train")
    (root / "dog").rename(root / "training")
    return "{root}/training and train beside it both mean train"


def a_class_that_is_only_tested(root):
    for split in ("train", "test"):
        shutil.copytree(root / "cat", root / split / "cat")
        shutil.copytree(root / "cat", root / split / "dog")
    shutil.copytree(root / "cat", root / "test" / "Cat")
    shutil.rmtree(root / "cat")
    shutil.rmtree(root / "dog")
    return "{root}/test/Cat is a class that {root} has no training images of"


def images_and_masks(root):
    (root / "cat").rename(root / "images")
    (root / "dog").rename(root / "masks")
    return (
        "{root} has the class folders images and masks, which looks like images with a class for each pixel; those are"
    )


def only_text(root):
    for path in root.glob("*/*"):
        path.write_text("text")
    return "{root} holds no image that can be read: cat/000.png (not a JPEG, PNG, WebP, BMP, PPM or TIFF image), "


MISTAKES = [
    no_folder, a_file, empty, images_alone, one_class, one_image, empty_class, unpacked_into_a_folder,
    splits_unpacked_into_a_folder, no_training_images, a_pipe, breeds_in_a_class,
    images_beside_folders, a_loop, a_link_to_itself, a_link_to_nowhere, a_folder_beside_splits, two_names_of_one_split,
    a_class_that_is_only_tested, images_and_masks, only_text,
]  # fmt: skip


@pytest.mark.parametrize("make", MISTAKES, ids=lambda make: make.__name__)
def test_each_mistake_is_answered_in_one_line(root, make):
    expected = make(root).format(root=root)
    with pytest.raises(DataError) as refused:
        load(root)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("", "--config.data.dir=DIR must name a folder"),
        ("~nobody-here/pets", "there is no folder .*/~nobody-here/pets"),
    ],
)
def test_a_folder_that_is_not_named_or_of_an_unknown_user(place, expected):
    with pytest.raises(DataError, match=expected):
        load_dataset(DataConfig(name="folder", dir=place))


NOBODY = 65534


@contextmanager
def no_rights_of_root() -> Iterator[None]:
    """Let this process be someone who may not read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_no_permission():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        root = write_classes(Path(name), {"cat": 4, "dog": 4})
        root.chmod(0o755)
        (root / "cat").chmod(0)
        for read in (load, lambda root: find_image_files([root])):
            with no_rights_of_root(), pytest.raises(DataError, match="cat can't be read: Permission denied"):
                read(root)
        (root / "cat").chmod(0o700)


def test_counts_that_there_are_not(root):
    for changes, expected in (
        ({"test_count": 7}, "config.data.test_count=7 asks for more than the 6 test images"),
        ({"train_count": 23}, "config.data.train_count=23 asks for more than the 22 train images"),
        ({"val_count": 13}, "config.data.val_count=13 takes more than half of the 24 training images"),
    ):
        with pytest.raises(DataError, match=expected):
            load(root, **changes)
    with pytest.raises(DataError, match=r"--config\.data\.dir=DIR must name a folder"):
        load_dataset(DataConfig(name="folder"))


def test_more_pixels_than_the_memory_holds_are_refused(root, monkeypatch):
    monkeypatch.setattr("strideflax.data.encoded_images.memory_bytes", lambda: 2**20)
    with pytest.raises(
        DataError, match=r"30 images of 512 x 512 pixels take 0.0 GiB.*choose a smaller --config.data.size"
    ):
        load(root, size=512)


@pytest.mark.skipif(not DIGITS.exists(), reason="the photographs are not beside this checkout")
def test_real_photographs(tmp_path):
    """One class of 204 and one of 205 photographs, among them one of 3,024 x 3,024 pixels."""
    with tarfile.open(DIGITS) as archive:
        wanted = [member for member in archive if member.isfile() and member.name.split("/")[-2] in ("0", "1")]
        archive.extractall(tmp_path, wanted, filter="data")
    data = load(tmp_path / "sign_language_digits")
    assert data.train.images.shape[1:] == (64, 64, 3)
    assert abs(len(data.test) / len(wanted) - 0.2) < 0.01
