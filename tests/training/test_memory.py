"""Freed memory stays with the process: the kernel is not asked for the same pages again."""

import platform
import subprocess
import sys

import pytest

from strideflax.training.memory import keep_memory

# 64 MiB is mapped afresh by malloc's own rules at each turn, by the main thread or another.
PROGRAM = """
import resource, sys, threading
from strideflax.training.memory import keep_memory

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
