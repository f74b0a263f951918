"""Files that are whole or absent, at whatever moment their writer is killed or the disk is full."""

import contextlib
import json
import math
import os
import secrets
from pathlib import Path
from typing import Any


def user_path(text: str) -> Path:
    """Return ``text`` as a path with ``~`` and ``~name`` as a shell has them; where no such user is known it stays as it is."""
    return Path(os.path.expanduser(text))


def cache_folder() -> Path:
    """Return the user's cache: $STRIDEFLAX_CACHE, or ``~/.cache/strideflax``."""
    return user_path(os.environ.get("STRIDEFLAX_CACHE") or "~/.cache/strideflax")


def write_whole(path: Path, *parts: bytes | memoryview, durable: bool = True) -> None:
    """Write ``parts``, one after another, into a file beside ``path``, flush it to the disk, and rename it to ``path``.

    ``durable=False`` leaves the flushing to the system, for a cache that is verified when it is read.

    Raises:
        OSError: a full disk or a read-only folder; an older file is as it was.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("xb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise naming_file(error, path) from None
    finally:
        with contextlib.suppress(OSError):  # a read-only folder, which took nothing
            aside.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write valid JSON, whole or not at all; NaN and infinities become null.

    Raises:
        OSError: a full disk or a read-only folder; an older file is as it was.
    """
    write_whole(path, json.dumps(null_if_not_finite(value), indent=2, allow_nan=False).encode() + b"\n")


def null_if_not_finite(value: Any) -> Any:
    """Return ``value`` with every NaN and infinity in it replaced by None, since JSON has neither."""
    if isinstance(value, dict):
        return {name: null_if_not_finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [null_if_not_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def naming_file(error: OSError, path: Path) -> OSError:
    """Return ``error`` with the file that could not be written: a full disk does not name it."""
    return OSError(error.errno, error.strerror, str(path))
