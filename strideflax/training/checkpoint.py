"""Checkpoints: Orbax's atomic steps, each with a manifest of checksums, so that a damaged one is noticed and passed over."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from strideflax.training.run_folder import RunFolderError, read_json, write_json

KEPT = 2  # the newest and one to fall back on


class Checkpoints:
    """The ``checkpoints`` folder of a run. Use as a context manager.

    Orbax does not notice a flipped bit in an array file and would restore wrong weights; the manifest beside each step does.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, save_interval_steps=1, create=True
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_names=("state", "meta"))

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Save the pytree ``state`` and the JSON values ``meta`` as ``step``, and forget all but the newest two."""
        if self._manager.latest_step() == step:
            return
        self._manager.save(
            step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)), force=True
        )
        self._manager.wait_until_finished()
        if jax.process_index() == 0:
            write_json(self._manifest(step), self._checksums(step))
            for stale in self.folder.glob("*.sha256.json"):
                if not (self.folder / stale.name.split(".")[0]).exists():
                    stale.unlink()

    def restore(self, like: Any, *, drop_damaged: bool = False) -> tuple[Any | None, dict[str, Any], list[str]]:
        """Return the newest sound ``(state, meta)``, and a line about each newer checkpoint that is damaged.

        Args:
            like: a pytree of the state's shapes, types and shardings.
            drop_damaged: delete damaged checkpoints, so that their steps can be saved again.

        Returns:
            ``state`` is None if no sound checkpoint is left.
        """
        damaged: list[str] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            if self._is_sound(step):
                args = ocp.args.Composite(state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore())
                restored = self._manager.restore(step, args=args)
                return restored.state, restored.meta, damaged
            damaged.append(f"checkpoint {step} is damaged (its checksums differ or are missing)")
            if drop_damaged:
                self._drop(step)
        return None, {}, damaged

    def _drop(self, step: int) -> None:
        if jax.process_index() == 0:
            shutil.rmtree(self.folder / str(step))
        self._manager.reload()  # or it would take the step for saved

    def _manifest(self, step: int) -> Path:
        return self.folder / f"{step}.sha256.json"

    def _is_sound(self, step: int) -> bool:
        try:
            return read_json(self._manifest(step)) == self._checksums(step)
        except RunFolderError:
            return False

    def _checksums(self, step: int) -> dict[str, Any]:
        """Return the sha256 of each file of a step, by its path in the step."""
        root = self.folder / str(step)
        files = sorted(p for p in root.rglob("*") if p.is_file())
        return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
