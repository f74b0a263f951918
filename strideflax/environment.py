"""Where a process runs: the device and the versions, as they stand in every result."""

import importlib.metadata
import os
import platform
from pathlib import Path

import jax

from strideflax.kernels import onednn
from strideflax.kernels.implementation import resolve_implementation
from strideflax.wording import counted

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "strideflax")


def describe_device() -> str:
    """Return the devices in words, e.g. ``"1 x NVIDIA H200"`` or ``"cpu, 2 cores, Intel(R) Xeon(R)"``."""
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    shards = f", {len(devices)} JAX devices" if len(devices) > 1 else ""
    return f"cpu, {counted(available_cores(), 'core')}, {processor()}{shards}"


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return this machine's memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def processor() -> str:
    """Return the name of this machine's CPU."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that a result depends on; None for one that is not installed.

    ``onednn`` is None where XLA computes the convolutions itself.
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None  # strideflax itself, run from a checkout without being installed
    devices = jax.devices()
    is_native = len(devices) == 1 and devices[0].platform == "cpu" and resolve_implementation(None, ()) == "auto"
    found["onednn"] = onednn.version() if is_native else None
    return found
