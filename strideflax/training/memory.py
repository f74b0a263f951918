"""Memory that a process keeps for itself once it has it."""

import ctypes
import platform

# glibc's malloc.h; the numbers are part of its binary interface.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_LARGEST_INT = 2**31 - 1


def keep_memory() -> bool:
    """Make this process reuse freed memory at once rather than return it to the kernel; return whether it could.

    A training step on a CPU takes and frees some hundred MB. glibc's malloc maps a block of 32 MiB or more afresh each time,
    and drops the heap of a thread when its last block is freed; the kernel then fills every page with zeros again. One heap
    that is never trimmed spares that; the process holds on to its peak in return. It is for programs, which own their process,
    and must come before XLA starts its threads: a thread that has another heap keeps it.

    Nothing is done, and False returned, where the C library is not glibc, or on its refusal.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_ARENA_MAX, 1))
    return all(mallopt(name, value) == 1 for name, value in settings)
