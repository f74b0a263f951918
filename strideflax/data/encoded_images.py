"""Many image files decoded in parallel, in bounded memory, and kept in the cache."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import numpy as np

from strideflax.data.cache import entry_path, load, store
from strideflax.data.image_decoding import (
    RULE_VERSION,
    ImageKind,
    UnreadableImageError,
    decode_image,
    image_kind,
    perceptual_hash,
)
from strideflax.environment import available_cores, memory_bytes
from strideflax.errors import DataError, one_line
from strideflax.wording import counted

ImageProgress: TypeAlias = Callable[[str, int, int], None]  # told (what is done, images done, of how many)

DEFAULT_SIDE = 64  # pixels, where images have several sizes or a larger one
LISTED = 5  # unreadable files that a message names
MEMORY_SHARE = (
    0.25  # of the machine's memory that decoded images may take: they are split, and put on a device, by copying
)


def no_image_progress(what: str, done: int, total: int) -> None:
    """Take a report of progress and show nothing."""


@dataclass(frozen=True)
class EncodedImages:
    """Image files, wherever they lie.

    Attributes:
        names: one each, for messages.
        read: returns the bytes of the file with a number; may be called from several threads.
        place: where they all lie, for messages; it names their entry in the cache.
    """

    names: Sequence[str]
    read: Callable[[int], bytes]
    place: str


@dataclass(frozen=True)
class DecodedImages:
    """The pixels of those files that could be read.

    Attributes:
        images: uint8 ``[n, side, side, channels]``.
        hashes: uint64 ``[n]``, see `perceptual_hash`.
        readable: bool, one for each file; n of them are True.
    """

    images: np.ndarray
    hashes: np.ndarray
    readable: np.ndarray


def decode_images(
    files: EncodedImages, *, side: int | None, skip_unreadable: bool, progress: ImageProgress = no_image_progress
) -> DecodedImages:
    """Decode ``files`` by `decode_image`, or take them from the cache if their names and bytes are those of an earlier call.

    They are grey, with one channel, if all are. Each thread holds one file at a time, beside the array of all results.

    Args:
        files: what to decode.
        side: pixels; None is the files' own if all are squares of one size of at most `DEFAULT_SIDE`, else `DEFAULT_SIDE`.
        skip_unreadable: leave out what is no image, or a damaged one.
        progress: told how many images are looked at, then decoded.

    Raises:
        DataError: files that can't be read, unless they are to be skipped, or more pixels than the memory holds.
    """
    digests: list[str] = [""] * len(files.names)
    kinds: list[ImageKind | None] = [None] * len(files.names)

    def look(i: int) -> None:
        try:
            data = files.read(i)
            digests[i] = sha256(data).hexdigest()
            kinds[i] = image_kind(data)
        except (OSError, UnreadableImageError):
            pass

    _in_threads(look, len(files.names), "looking at images", progress)
    known = [kind for kind in kinds if kind is not None]
    if not known:
        raise DataError(
            f"{files.place} holds no image that can be read: {_complaint(files, np.zeros(len(kinds), bool))}"
        )
    side, channels = side or _own_side(known), 1 if all(kind.is_grey for kind in known) else 3
    _check_memory(len(known), side, channels)
    content = sha256("\n".join([*files.names, *digests]).encode(errors="surrogateescape")).hexdigest()
    rule = [RULE_VERSION, side, channels]
    entry, identity = entry_path("images", f"{files.place} {rule}"), [[*rule, len(kinds), content]]
    arrays: Sequence[np.ndarray] | None = load(entry, identity)
    if arrays is None:
        is_image = np.array([kind is not None for kind in kinds])
        arrays = _decode(files, digests, is_image, side, channels, progress)
        store(entry, identity, arrays)
    decoded = DecodedImages(*arrays)
    if not (skip_unreadable or decoded.readable.all()):
        raise DataError(
            f"{counted(np.sum(~decoded.readable), 'file')} in {files.place} can't be read as "
            f"{'an image' if np.sum(~decoded.readable) == 1 else 'images'}: {_complaint(files, decoded.readable)}; mend or "
            "remove, or leave out with --config.data.skip_unreadable=true"
        )
    return decoded


def _own_side(kinds: Sequence[ImageKind]) -> int:
    sides = {length for kind in kinds for length in (kind.width, kind.height)}
    return max(sides) if len(sides) == 1 and max(sides) <= DEFAULT_SIDE else DEFAULT_SIDE


def _check_memory(count: int, side: int, channels: int) -> None:
    memory = memory_bytes()
    needed, limit = count * side * side * channels, MEMORY_SHARE * (memory or 0)
    if memory is not None and needed > limit:
        raise DataError(
            f"{counted(count, 'image')} of {side} x {side} pixels take {needed / 2**30:.1f} GiB, expected at most "
            f"{limit / 2**30:.1f} GiB, a quarter of this machine's memory; choose a smaller --config.data.size"
        )


def _decode(
    files: EncodedImages,
    digests: Sequence[str],
    is_image: np.ndarray,
    side: int,
    channels: int,
    progress: ImageProgress,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fields of `DecodedImages`; ``digests`` are those of the bytes that were looked at."""
    places = np.flatnonzero(is_image)
    images = np.zeros((len(places), side, side, channels), np.uint8)
    hashes = np.zeros(len(places), np.uint64)
    sound = np.zeros(len(places), bool)

    def decode(i: int) -> None:
        data = files.read(places[i])
        if sha256(data).hexdigest() != digests[places[i]]:
            raise DataError(f"{files.names[places[i]]} in {files.place} changed while it was read; try again")
        try:
            images[i] = decode_image(data, side, channels)
        except UnreadableImageError:
            return
        hashes[i] = perceptual_hash(images[i])
        sound[i] = True

    _in_threads(decode, len(places), "decoding images", progress)
    readable = is_image.copy()
    readable[places] = sound
    return (images, hashes, readable) if sound.all() else (images[sound], hashes[sound], readable)


def _in_threads(work: Callable[[int], None], count: int, what: str, progress: ImageProgress) -> None:
    """Call ``work`` with 0..count - 1 on all cores: Pillow and hashlib let other threads run meanwhile."""
    pool = ThreadPoolExecutor(available_cores())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata that has no bearing on the pixels
        try:
            for i, _ in enumerate(pool.map(work, range(count))):
                progress(what, i + 1, count)
        finally:
            pool.shutdown(cancel_futures=True)  # upon Ctrl-C; else all are done


def _complaint(files: EncodedImages, readable: np.ndarray) -> str:
    """Return the names of the unreadable files, with what is wrong with each."""
    places = np.flatnonzero(~readable)
    listed = [f"{files.names[i]} ({_what_is_wrong(files, i)})" for i in places[:LISTED]]
    more = len(places) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")


def _what_is_wrong(files: EncodedImages, i: int) -> str:
    try:
        decode_image(files.read(i), 1, 3)
    except OSError as error:
        return error.strerror or one_line(error)
    except UnreadableImageError as error:
        return str(error)
    return "was damaged when it was first read"
