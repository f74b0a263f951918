"""Sets that tensorflow-datasets prepared, written by a builder of our own without TensorFlow."""

import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset

COUNTS = {"train": 24, "test": 6}


def pixels(split: str, i: int) -> np.ndarray:
    seed = i if split == "train" else 1000 + i
    return np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)


def make_builder(data_dir, features, example):
    class Leaves(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "leaves"
        VERSION = tfds.core.Version("1.2.0")
        pkg_dir_path = data_dir

        def _info(self):
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in COUNTS}

        def _generate_examples(self, split):
            for i in range(COUNTS[split]):
                yield i, example(split, i)

    return Leaves(data_dir=data_dir)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["oak", "elm"]),
    }

    def example(split, i):
        return {"image": Image.fromarray(pixels(split, i)), "label": i % 2}

    tfds.disable_progress_bar()
    make_builder(folder, features, example).download_and_prepare(file_format="array_record")
    return folder


def load(folder, name="tfds:leaves", **changes):
    return load_dataset(DataConfig(name=name, dir=str(folder), **changes))


@pytest.mark.parametrize("name", ["tfds:leaves", "tfds:leaves:1.2.0"])
def test_its_images_labels_splits_and_classes_come_along(prepared, name):
    data = load(prepared, name, val_count=4)
    assert data.classes == ("oak", "elm")
    assert (len(data.train), len(data.val), len(data.test)) == (20, 4, 6)
    for split, name in ((data.test, "test"), (data.train, "train")):
        label_of_image = {pixels(name, i).tobytes(): i % 2 for i in range(COUNTS[name])}
        assert [label_of_image[image.tobytes()] for image in split.images] == split.labels.tolist()


def test_what_is_not_prepared_is_told(prepared, tmp_path):
    with pytest.raises(
        DataError, match=r"no oaks is prepared in .* \(there: leaves\); prepare it with tfds.builder\('oaks'\)"
    ):
        load(prepared, "tfds:oaks")
    with pytest.raises(DataError, match=r"no leaves:9\.9\.9 is prepared"):
        load(prepared, "tfds:leaves:9.9.9")
    with pytest.raises(DataError, match=r"no leaves is prepared in .* \(there: nothing\)"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"must be tfds:NAME, NAME/CONFIG or NAME:VERSION, got '\.\./up'"):
        load(prepared, "tfds:../up")


def test_a_set_with_configs_names_them(prepared, tmp_path):
    shutil.copytree(prepared / "leaves", tmp_path / "leaves" / "autumn")
    with pytest.raises(DataError, match="several configs, name one as tfds:leaves/CONFIG: autumn"):
        load(tmp_path)
    assert load(tmp_path, "tfds:leaves/autumn").fingerprint == load(prepared).fingerprint


def test_what_only_tensorflow_reads_is_refused(prepared, tmp_path):
    shutil.copytree(prepared / "leaves", tmp_path / "leaves")
    info = tmp_path / "leaves" / "1.2.0" / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataError, match="is prepared as tfrecord, which only TensorFlow reads"):
        load(tmp_path)


def test_a_damaged_set_is_told_in_one_line(prepared, tmp_path):
    shutil.copytree(prepared / "leaves", tmp_path / "leaves")
    (tmp_path / "leaves" / "1.2.0" / "features.json").write_text("{")
    with pytest.raises(DataError, match=r"1\.2\.0 can't be read: "):
        load(tmp_path)


def test_two_images_per_record_are_too_many(tmp_path):
    two = {name: tfds.features.Image(shape=(None, None, 3)) for name in ("left", "right")}

    def example(split, i):
        return {**{name: Image.fromarray(pixels(split, i)) for name in two}, "label": 0}

    features = {**two, "label": tfds.features.ClassLabel(num_classes=2)}
    make_builder(tmp_path, features, example).download_and_prepare(file_format="array_record")
    with pytest.raises(DataError, match="has 2 images per record, expected one; its features: label, left, right"):
        load(tmp_path)
