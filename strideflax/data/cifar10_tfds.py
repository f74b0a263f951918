"""CIFAR-10 through tensorflow-datasets, without TensorFlow.

The stock ``cifar10`` needs TensorFlow to unpack and to encode while it prepares. The subclass here reads the archive
itself and hands over PIL images; what it prepares is the stock data set, which ``tfds.data_source('cifar10')`` reads.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from os import environ
from pathlib import Path
from typing import Any

import numpy as np

from strideflax.data.cache import cached
from strideflax.data.cifar import Arrays, read_archive
from strideflax.data.cifar_layout import CIFAR10, SIDE
from strideflax.errors import DataError, one_line
from strideflax.files import user_path

URL = CIFAR10.url
CONNECT_SECONDS = 5.0
BLOCK = 5000


def tfds_folder() -> Path:
    """Return tensorflow-datasets' own folder: $TFDS_DATA_DIR, or ``~/tensorflow_datasets``."""
    return user_path(environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def manual_archive(data_dir: Path) -> Path:
    """Return where an official archive that was downloaded by other means goes."""
    return data_dir / "downloads" / "manual" / CIFAR10.archives[0]


def read_tfds(data_dir: Path) -> tuple[Arrays, str]:
    """Read the data set prepared in ``data_dir``; download and prepare it if it is not there.

    Returns:
        the images in the order of the original files, and one line that says where they came from.

    Raises:
        DataError: nothing there and no connection, or files that are damaged.
    """
    if not prepared_files(data_dir):
        prepare(data_dir)
    files = prepared_files(data_dir)
    try:
        arrays = Arrays(*cached(files, partial(read_prepared, data_dir)))
    except Exception as error:  # whatever array_record raises
        raise DataError(f"{files[0].parent} cannot be read, delete it to prepare it again: {_named(error)}") from None
    return arrays, f"tensorflow-datasets in {files[0].parent}"


def prepared_files(data_dir: Path) -> list[Path]:
    """Return the files of the newest prepared version; an empty list if nothing is prepared."""
    versions = sorted((data_dir / "cifar10").glob("[0-9]*/dataset_info.json"))
    return sorted(versions[-1].parent.glob("*.array_record*")) if versions else []


def read_prepared(data_dir: Path) -> Arrays:
    """Decode the prepared images, which takes seconds."""
    return Arrays(*_read_split("train", data_dir), *_read_split("test", data_dir))


def _read_split(split: str, data_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels by their ``id``, which numbers them in the order of the original files."""
    import tensorflow_datasets as tfds
    from PIL import Image

    decoders = {"image": tfds.decode.SkipDecoding()}  # PNG bytes, so that it is the same with OpenCV installed or not
    records: Any = tfds.data_source("cifar10", split=split, data_dir=data_dir, download=False, decoders=decoders)
    count = len(records)
    images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    labels = np.full(count, -1, np.int32)
    for start in range(0, count, BLOCK):
        for record in records.__getitems__(range(start, min(start + BLOCK, count))):
            i = int(record["id"].decode().removeprefix(f"{split}_"))
            images[i] = np.asarray(Image.open(io.BytesIO(record["image"])))
            labels[i] = record["label"]
    if labels.min() < 0:
        raise DataError(f"{split}_{labels.argmin():05d} is missing")
    return images, labels


def prepare(data_dir: Path, archive: Path | None = None) -> None:
    """Prepare the data set in ``data_dir``, as array_record files.

    Args:
        data_dir: tensorflow-datasets' folder.
        archive: a local archive. None is the official one, from `manual_archive` or downloaded, its SHA-256 checked.

    Raises:
        DataError: no archive to be had, or not the right one.
    """
    if archive is None and not manual_archive(data_dir).is_file():
        require_connection(data_dir)
    folders = (data_dir / "cifar10", data_dir / "downloads", data_dir)
    created = [folder for folder in folders if not folder.exists()]
    try:
        _download_and_prepare(data_dir, archive)
    except DataError:
        raise
    except Exception as error:  # tensorflow-datasets, requests, array_record and the disk raise many kinds
        if not prepared_files(data_dir):  # else another process was quicker
            raise DataError(_explanation(error, data_dir)) from None
    finally:
        for folder in created:
            with contextlib.suppress(OSError):  # it is not empty; a failure leaves no empty one
                folder.rmdir()


def _download_and_prepare(data_dir: Path, archive: Path | None) -> None:
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    downloads = data_dir / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    config = tfds.download.DownloadConfig(manual_dir=manual_archive(data_dir).parent, try_download_gcs=False)
    # Each process downloads into a folder of its own, which is gone afterwards: a broken download leaves nothing, and
    # two at once do not meet.
    folder = tempfile.TemporaryDirectory(prefix="incomplete-", dir=downloads)
    with folder, contextlib.redirect_stdout(io.StringIO()):
        builder(data_dir, archive).download_and_prepare(
            download_dir=folder.name, download_config=config, file_format="array_record"
        )


def _explanation(error: Exception, data_dir: Path) -> str:
    """Return what a user should know of ``error``, which preparing the data set raised."""
    if type(error).__name__ == "NonMatchingChecksumError":
        manual = manual_archive(data_dir)
        return (
            f"{manual if manual.is_file() else URL} is not the official archive (its SHA-256 differs); "
            "read another copy with --config.data.dir=DIR"
        )
    return f"CIFAR-10 could not be prepared in {data_dir}: {_named(error)}; {remedy(data_dir)}"


def builder(data_dir: Path, archive: Path | None) -> Any:
    """Return a TFDS builder that is stock ``cifar10`` but for how it unpacks and encodes."""
    from PIL import Image
    from tensorflow_datasets.image_classification import cifar

    class Cifar10(cifar.Cifar10, skip_registration=True):  # type: ignore[call-arg]
        name = "cifar10"
        pkg_dir_path = cifar.Cifar10.pkg_dir_path

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            arrays = read_archive(Path(archive or dl_manager.download(URL)))
            self.info.features["label"].names = list(CIFAR10.classes)
            return {
                "train": self._generate_examples("train_", arrays[:2]),
                "test": self._generate_examples("test_", arrays[2:]),
            }

        def _generate_examples(self, prefix: str, arrays: tuple[np.ndarray, np.ndarray]) -> Iterator:
            images, labels = arrays
            for i in range(len(labels)):
                yield i, {"id": f"{prefix}{i:05d}", "image": Image.fromarray(images[i]), "label": int(labels[i])}

    return Cifar10(data_dir=data_dir)


def require_connection(data_dir: Path) -> None:
    """Answer within seconds when there is no connection, where tensorflow-datasets would try for minutes."""
    import requests  # comes with tensorflow-datasets, which downloads through it

    try:
        with requests.get(URL, stream=True, timeout=CONNECT_SECONDS) as response:
            response.raise_for_status()
    except requests.RequestException as error:
        reason = f"{URL} cannot be reached ({type(error).__name__})"
        raise DataError(f"no CIFAR-10 in {data_dir} and {reason}; {remedy(data_dir)}") from None


def remedy(data_dir: Path) -> str:
    """Return what a user without the images can do."""
    return (
        f"put {CIFAR10.archives[0]} into {manual_archive(data_dir).parent}, or give a local copy as --config.data.dir=DIR, "
        "or use the embedded data set with --config configs/NAME.py:quick"
    )


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)[:300]}"
