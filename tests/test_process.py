"""Freed memory stays with the process: the kernel is not asked for the same pages again."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from strideflax.__main__ import main
from strideflax.benchmark import contender_process
from strideflax.benchmark.contenders import CONTENDERS
from strideflax.process import keep_memory
from strideflax.sweep.worker import Worker
from strideflax.training.run_folder import RunFolderError

# 64 MiB is mapped afresh by malloc's own rules at each turn, by the main thread or another.
# Huge pages, where the kernel gives them unasked, would hide that: 41 is PR_SET_THP_DISABLE.
PROGRAM = """
import ctypes, resource, sys, threading
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
from strideflax.process import keep_memory

def faults(block_bytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(block_bytes)
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    assert keep_memory()
found = [faults(2**26) for _ in range(5)]
other = threading.Thread(target=lambda: found.extend(faults(2**26) for _ in range(5)))
other.start()
other.join()
print(*found)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc has other settings")
class TestKeepMemory:
    def page_faults(self, how: str) -> list[int]:
        answer = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        return [int(count) for count in answer.stdout.split()]

    def test_a_block_taken_again_costs_no_new_pages(self) -> None:
        first, *again = self.page_faults("kept")
        assert first > 1000  # the kernel's at first
        assert max(again) < first / 100

    def test_and_without_it_does_each_time(self) -> None:
        assert min(self.page_faults("returned")) > 1000


class TestElsewhere:
    def test_nothing_is_done_without_glibc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
        assert keep_memory() is False


class TestPrograms:
    """What owns its process keeps its memory; `import strideflax` alone must not (it is not called there)."""

    @pytest.fixture
    def kept(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        calls: list[str] = []
        for where in ("strideflax.sweep.worker", "strideflax.process"):
            monkeypatch.setattr(f"{where}.keep_memory", lambda where=where: calls.append(where))
        return calls

    def test_every_command(self, kept: list[str]) -> None:
        with pytest.raises(SystemExit):
            main(["inspect", "--config", "missing.py"])
        assert kept == ["strideflax.process"]

    def test_a_sweep_s_worker(self, kept: list[str], tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="no config"):
            Worker().train(str(tmp_path))
        assert kept == ["strideflax.sweep.worker"]

    def test_a_benchmark_s_process(self, kept: list[str]) -> None:
        contender_process._framework_module(CONTENDERS["auto"])
        assert kept == ["strideflax.process"]
