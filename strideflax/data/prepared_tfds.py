"""Any image classification set that tensorflow-datasets has prepared, read without TensorFlow."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strideflax.config import TFDS_PREFIX, DataConfig
from strideflax.data.cifar10_tfds import tfds_folder
from strideflax.data.encoded_images import EncodedImages, ImageProgress
from strideflax.data.folder_layout import SPLITS
from strideflax.data.own_images import OwnImages, decode_own_images
from strideflax.errors import DataError, one_line
from strideflax.files import user_path
from strideflax.wording import counted

BLOCK = 1000  # records read at once
INFO = "dataset_info.json"


def read_prepared_set(config: DataConfig, progress: ImageProgress) -> OwnImages:
    """Read the set that ``config.name`` names after ``tfds:``, as tensorflow-datasets does: NAME, NAME/CONFIG, NAME:VERSION.

    It must be prepared in ``config.dir`` (None is tensorflow-datasets' own folder) as array_record, which is what can be read
    without TensorFlow: ``tfds.builder("NAME").download_and_prepare(file_format="array_record")``.

    Raises:
        DataError: it is not prepared, in another format, or has not one image and one class per record; one line.
    """
    name = config.name.removeprefix(TFDS_PREFIX)
    folder = _version_folder(user_path(config.dir) if config.dir else tfds_folder(), name)
    try:
        sources, image_key, label_key, classes = _open(folder)
    except DataError:
        raise
    except Exception as error:  # tensorflow-datasets and array_record raise many kinds
        raise DataError(f"{folder} can't be read: {type(error).__name__}: {one_line(error)[:300]}") from None
    labels, splits = [], []
    places: list[tuple[Sequence[Any], int]] = []
    for split, records in sources.items():
        for start in range(0, len(records), BLOCK):
            numbers = range(start, min(start + BLOCK, len(records)))
            labels += [int(record[label_key]) for record in records.__getitems__(numbers)]  # type: ignore[attr-defined]
            places += [(records, number) for number in numbers]
        splits += [split] * len(records)
    lock = threading.Lock()

    def read(i: int) -> bytes:
        records, number = places[i]
        with lock:  # nothing says that array_record may be read by several threads
            return records[number][image_key]

    names = [f"{split} record {number}" for split, (_, number) in zip(splits, places, strict=True)]
    files = EncodedImages(names=names, read=read, place=str(folder))
    shown, place = f"{name} (tfds)", f"tensorflow-datasets in {folder}"
    return decode_own_images(files, labels, splits, config, progress, name=shown, place=place, classes=classes)


def _version_folder(data_dir: Path, name: str) -> Path:
    """Return the folder of the version that is asked for, the newest one if none is."""
    found = re.fullmatch(r"(?P<set>\w+(/[\w.-]+)?)(:(?P<version>[\w.]+))?", name)
    if found is None:
        raise DataError(f"config.data.name must be {TFDS_PREFIX}NAME, NAME/CONFIG or NAME:VERSION, got {name!r}")
    folder, version = data_dir / found["set"], found["version"]
    versions = sorted((path.parent for path in folder.glob(f"{version or '*'}/{INFO}")), key=_version_numbers)
    if versions:
        return versions[-1]
    configs = sorted({path.parent.parent.name for path in folder.glob(f"*/*/{INFO}")})
    if configs:
        raise DataError(f"{folder} has several configs, name one as {TFDS_PREFIX}{name}/CONFIG: {', '.join(configs)}")
    prepared = sorted({path.relative_to(data_dir).parts[0] for path in data_dir.glob(f"*/**/{INFO}")})
    raise DataError(
        f"no {name} is prepared in {data_dir} (there: {', '.join(prepared) or 'nothing'}); prepare it with "
        f"tfds.builder({name!r}).download_and_prepare(file_format='array_record'), or give its folder as --config.data.dir=DIR"
    )


def _version_numbers(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def _open(folder: Path) -> tuple[dict[str, Sequence[Any]], str, str, tuple[str, ...]]:
    """Return the records of each split, the keys of image and label in a record, and the classes' names."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    file_format = builder.info.file_format
    if file_format is None or file_format.value != "array_record":
        raise DataError(
            f"{folder} is prepared as {getattr(file_format, 'value', None)}, which only TensorFlow reads; prepare it with "
            "file_format='array_record'"
        )
    features = builder.info.features
    image_key = _only_key(features, tfds.features.Image, "image", folder)
    label_key = _only_key(features, tfds.features.ClassLabel, "class label", folder)
    decoders = {image_key: tfds.decode.SkipDecoding()}
    sources = {}
    for name in builder.info.splits:
        if name.lower() in SPLITS:
            sources[SPLITS[name.lower()]] = builder.as_data_source(split=name, decoders=decoders)
    if "train" not in sources:
        raise DataError(f"{folder} has the splits {', '.join(builder.info.splits)}, expected train among them")
    return sources, image_key, label_key, tuple(features[label_key].names)


def _only_key(features: Any, kind: type, word: str, folder: Path) -> str:
    """Return the key of the one feature of a kind."""
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(keys) != 1:
        raise DataError(
            f"{folder} has {counted(len(keys), word)} per record, expected one; its features: {', '.join(sorted(features))}"
        )
    return keys[0]
