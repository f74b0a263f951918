"""Which images a folder of class folders holds: by class, and by split where it has ``train``, ``val`` and ``test``."""

import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from strideflax.data.image_decoding import SUFFIXES
from strideflax.errors import DataError
from strideflax.wording import counted

# What the folders of splits are called, in any case.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MASK_LAYOUTS = ({"images", "labels"}, {"images", "masks"})  # what `mask_folder` reads
IGNORED = ("thumbs.db", "desktop.ini", "__macosx")  # what other systems leave behind, besides hidden files


@dataclass(frozen=True)
class ImageFile:
    """A file in a class folder; ``split`` is None where the folder is not split."""

    path: Path
    label: int
    split: str | None


@dataclass(frozen=True)
class FolderLayout:
    """A folder's classes, in the order of their names, and its files, by split, class and name."""

    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]


def read_layout(root: Path) -> FolderLayout:
    """Find the class folders of ``root`` and the files in them, without opening a file.

    ``root`` holds either one folder per class, or ``train`` and perhaps ``val`` and ``test`` with the class folders inside.
    Hidden files, and what Windows and macOS leave behind, are passed over, and so are files beside class folders that are no
    images by their names. Links are followed.

    Raises:
        DataError: no such folder, no permission, a link loop, or folders and files that are arranged in another way.
    """
    found = _contents(root)
    splits = _split_folders(found.folders)
    classes: dict[str, dict[str | None, Path]] = {}
    for split, folder in splits.items() if splits else ((None, root),):
        inside = _contents(folder)
        _check_class_folders(folder, inside)
        for path in inside.folders:
            name = _shown(path.name)
            if split in classes.setdefault(name, {}):
                raise DataError(f"{folder} has two folders that are both shown as {name!r}; rename one of them")
            classes[name][split] = path
    if set(classes) in MASK_LAYOUTS:
        raise DataError(
            f"{root} has the class folders {' and '.join(sorted(classes))}, which looks like images with a class for each "
            "pixel; those are read with --config.data.name=mask_folder"
        )
    if splits:
        _check_classes_of_splits(root, classes)
    names = sorted(classes)
    files = []
    for split in splits or (None,):
        for label, name in enumerate(names):
            for path in _class_files(classes[name].get(split)):
                files.append(ImageFile(path, label, split))
    if len(names) == 1:
        raise DataError(f"{root} has one class folder, {names[0]!r}, expected two or more classes")
    return FolderLayout(tuple(names), tuple(files))


@dataclass(frozen=True)
class _Contents:
    """What a folder holds, in the order of the names."""

    folders: list[Path]
    files: list[Path]


def _contents(folder: Path) -> _Contents:
    found = _Contents([], [])
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder}; --config.data.dir must name a folder of class folders") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is a file, expected a folder of class folders") from None
    except OSError as error:
        raise DataError(f"{folder} can't be read: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in IGNORED:
            continue
        path = Path(entry.path)
        if not _is_folder(path):
            found.files.append(path)
        elif entry.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            raise DataError(f"{path} is a link to a folder that it lies in, a loop; remove it")
        else:
            found.folders.append(path)
    return found


def _is_folder(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link to nowhere or to itself, no permission
        raise DataError(f"{path} can't be read: {error.strerror}") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # a pipe would be read for ever
        raise DataError(f"{path} is neither a file nor a folder, expected images in class folders")
    return stat.S_ISDIR(mode)


def _split_folders(folders: list[Path]) -> dict[str, Path]:
    """Return the folders of the splits; none if there is no ``train`` among them."""
    splits: dict[str, Path] = {}
    for path in folders:
        split = SPLITS.get(path.name.lower())
        if split in splits:
            raise DataError(f"{path} and {splits[split].name} beside it both mean {split}, expected one of them")
        if split is not None:
            splits[split] = path
    if "train" not in splits:
        if splits and len(splits) == len(folders) and any(_contents(path).folders for path in folders):
            raise DataError(
                f"{folders[0].parent} has {' and '.join(path.name for path in folders)} alone, expected train too"
            )
        return {}
    others = [path for path in folders if path not in splits.values()]
    if others:
        raise DataError(
            f"{others[0]} lies beside {splits['train'].name}, expected only train, val and test there, or only class folders"
        )
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _check_class_folders(folder: Path, inside: _Contents) -> None:
    images = [path for path in inside.files if path.suffix.lower() in SUFFIXES]
    if not inside.folders:
        holds = f"{counted(len(images), 'image')} and no folders" if images else "no folders"
        raise DataError(f"{folder} holds {holds}, expected one folder per class with the class's images inside")
    if images:
        beside = "lies" if len(images) == 1 else f"and {len(images) - 1:,} more lie"
        raise DataError(f"{images[0]} {beside} beside the class folders, expected images inside them alone")


def _check_classes_of_splits(root: Path, classes: dict[str, dict[str | None, Path]]) -> None:
    for folders in classes.values():
        if "train" not in folders:
            raise DataError(f"{next(iter(folders.values()))} is a class that {root} has no training images of")


def _class_files(folder: Path | None) -> list[Path]:
    """Return the files in a class folder, if it is there; they are images or will be reported as none."""
    if folder is None:
        return []
    inside = _contents(folder)
    if inside.folders:
        hint = _deeper_root(folder)
        raise DataError(
            f"{folder} holds the folder {inside.folders[0].name!r}, nested too deep: expected the images of one class"
            + (f"; are the class folders in --config.data.dir={hint}?" if hint else "")
        )
    if not inside.files:
        raise DataError(f"{folder} is empty, expected the images of a class; add some or remove the folder")
    return inside.files


def _deeper_root(folder: Path) -> Path | None:
    """Return ``folder`` if it looks like the folder of class folders itself, as in an archive that was unpacked into one."""
    inside = _contents(folder)
    is_split = any(SPLITS.get(path.name.lower()) == "train" for path in inside.folders)
    has_images = len(inside.folders) > 1 and any(_contents(path).files for path in inside.folders)
    return folder if is_split or (has_images and not inside.files) else None


def _shown(name: str) -> str:
    """Return a folder's name as text that can be printed.

    It is composed, as macOS decomposes umlauts; broken bytes, line ends and terminals' control codes are replaced.
    """
    composed = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", composed)
