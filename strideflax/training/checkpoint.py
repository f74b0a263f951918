"""Checkpoints: Orbax's atomic steps, each with a manifest of checksums, so that a damaged one is noticed and passed over."""

import errno
import hashlib
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from strideflax.files import write_json
from strideflax.training.run_folder import RunFolderError, read_json

KEPT = 2  # the newest and one to fall back on
LATE_SECONDS = 1.0  # for the other writers of a save that failed, which would still complain while Python shuts down


@dataclass(frozen=True)
class Restored:
    """What was found in a run's checkpoints.

    Attributes:
        step: of the newest sound checkpoint; None if there is none.
        state: its arrays, in the template's structure; None if there is none.
        meta: the JSON values saved with it.
        damaged: a line about each newer checkpoint that was passed over.
    """

    step: int | None = None
    state: Any = None
    meta: dict[str, Any] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


class Checkpoints:
    """The ``checkpoints`` folder of a run. Use as a context manager.

    Orbax does not notice a flipped bit in an array file and would restore wrong weights; the manifest beside each step does.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self._opened: ocp.CheckpointManager | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _manager(self) -> ocp.CheckpointManager:
        """Orbax's manager, opened to save: it reads a file of every step there is, and a damaged one would stop it."""
        if self._opened is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=KEPT, enable_async_checkpointing=False, save_interval_steps=1, create=True
            )
            self._opened = ocp.CheckpointManager(self.folder, options=options, item_names=("state", "meta"))
        return self._opened

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Save the pytree ``state`` and the JSON values ``meta`` as ``step``, and forget all but the newest two.

        The manifest is written last and in one piece: a step without it does not count as a checkpoint.

        Raises:
            OSError: a full disk or a read-only folder; the checkpoints before are as they were.
        """
        if self._manager.latest_step() == step:
            return
        items = {"state": ocp.args.StandardSave(state), "meta": ocp.args.JsonSave(meta | {"types": _types(state)})}
        try:
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
            self._manager.wait_until_finished()
        except Exception as error:  # Orbax and its storage raise many kinds
            time.sleep(LATE_SECONDS)
            raise _as_disk_error(error, self.folder / str(step)) from None
        if jax.process_index() == 0:
            write_json(self._manifest(step), self._checksums(step))
            for stale in self.folder.glob("*.sha256.json"):
                if not (self.folder / stale.name.split(".")[0]).exists():
                    stale.unlink()

    def restore(self, template: Any, *, partial: bool = False, drop_damaged: bool = False) -> Restored:
        """Return the newest sound checkpoint.

        Args:
            template: a pytree of the state's shapes, types and shardings.
            partial: ``template`` is a dict of the state's first fields, and only these are read.
            drop_damaged: delete damaged checkpoints, so that their steps can be saved again.

        Raises:
            RunFolderError: a sound checkpoint of other shapes or types than ``template``.
        """
        damaged: list[str] = []
        for step in sorted(self._steps(), reverse=True):
            if self._is_sound(step):
                meta = self._read(step, "meta", ocp.JsonCheckpointHandler(), ocp.args.JsonRestore())
                self._check_types(step, meta.pop("types", None), _types(template), partial)
                how = ocp.args.PyTreeRestore(
                    item=template,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(template),
                    partial_restore=partial,
                )
                state = self._read(step, "state", ocp.PyTreeCheckpointHandler(), how)
                return Restored(step, state, meta, damaged)
            damaged.append(f"checkpoint {step} is damaged (its checksums differ or are missing)")
            if drop_damaged and jax.process_index() == 0:
                shutil.rmtree(self.folder / str(step))
        return Restored(damaged=damaged)

    def _read(self, step: int, item: str, handler: Any, how: Any) -> Any:
        with ocp.Checkpointer(handler) as files:
            return files.restore(self.folder / str(step) / item, args=how)

    def _steps(self) -> list[int]:
        """Return the steps that Orbax has put in their place, sound or not; one that it is writing has another name."""
        return [int(path.name) for path in self.folder.glob("*") if path.name.isdecimal()]

    def _check_types(self, step: int, saved: list[str] | None, wanted: list[str], partial: bool) -> None:
        """Refuse other types or shapes: Orbax would cast silently. The oldest checkpoints did not note them."""
        if saved is None:
            return
        if partial:
            saved = saved[: len(wanted)]
        problem = "" if len(saved) == len(wanted) else f"{len(saved)} arrays, expected {len(wanted)}"
        for there, expected in zip(saved, wanted, strict=False):
            if there != expected:
                problem = f"{there} where {expected} is expected"
                break
        if problem:
            raise RunFolderError(
                f"checkpoint {step} in {self.folder} holds {problem}: it is of another version; choose another --workdir"
            )

    def _manifest(self, step: int) -> Path:
        return self.folder / f"{step}.sha256.json"

    def _is_sound(self, step: int) -> bool:
        try:
            return read_json(self._manifest(step)) == self._checksums(step)
        except RunFolderError:
            return False

    def _checksums(self, step: int) -> dict[str, str]:
        """Return the sha256 of each file of a step, by its path in the step."""
        root = self.folder / str(step)
        checksums = {}
        for path in sorted(root.rglob("*")):
            if path.is_file():
                checksums[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        return checksums


def _types(tree: Any) -> list[str]:
    """Return each array's type and shape, e.g. ``"float32[3, 3]"``, in the order of the leaves."""
    return [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)]


def _as_disk_error(error: Exception, path: Path) -> Exception:
    """Return the OSError that a disk's trouble is, however Orbax wraps it, or ``error`` itself."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number), str(path))
    return error
