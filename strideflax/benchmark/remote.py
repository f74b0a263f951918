"""Contenders in processes of their own, of which one works at a time: two frameworks' threads in one process, or at one
time, slow each other down."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from strideflax.benchmark.contenders import CONTENDERS

ROOT = Path(__file__).resolve().parent.parent.parent  # what has the package strideflax in it


def process_environment(python: str = sys.executable) -> dict[str, str]:
    """Return this process's variables, such that ``python`` finds what is found here, an uninstalled checkout included."""
    found = [path for path in sys.path if path] if python == sys.executable else [str(ROOT)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


class ContenderError(RuntimeError):
    """A contender could not do what was asked; the message is one line."""


class RemoteContender:
    """A contender's process, started when first asked and again if it died.

    Args:
        name: of `strideflax.benchmark.contenders.CONTENDERS`.
        environment: variables of the process besides the contender's own.
        cores: how many the process may use; 0 for all that this one may.
        python: the interpreter, this one by default; another needs strideflax's dependencies, and may have other versions.
    """

    def __init__(
        self, name: str, environment: Mapping[str, str] | None = None, *, cores: int = 0, python: str = sys.executable
    ):
        self.name, self.cores, self.python = name, cores, python
        self.environment = {**CONTENDERS[name].environment, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the contender

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request of `strideflax.benchmark.contender_process` and return its answer.

        Raises:
            ContenderError: it failed, or its process died.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise ContenderError(f"the process of {self.name} died: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
            process.wait(10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> "RemoteContender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._process is not None:
            self._process.kill()  # it may be in the middle of a long turn, whose answer nobody waits for
        self.close()
        self._errors.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [self.python, "-m", "strideflax.benchmark.contender_process", self.name, str(self.cores)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={**process_environment(self.python), **self.environment},
            )
        return self._process

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"


@contextmanager
def open_contenders(
    names: Iterable[str], *, cores: int = 0, torch_python: str = sys.executable
) -> Iterator[dict[str, RemoteContender]]:
    """Give a contender for each of ``names`` and end their processes afterwards; PyTorch's may run in another Python."""
    contenders = {}
    with ExitStack() as stack:
        for name in names:
            python = torch_python if CONTENDERS[name].framework == "torch" else sys.executable
            contenders[name] = stack.enter_context(RemoteContender(name, cores=cores, python=python))
        yield contenders
