"""Not enough memory: seen before a load begins, where that can be, and told apart from other errors where not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

GIB = 2**30
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of a GPU or of the machine could not be had."""
    # torch has no type of its own for memory of the machine; the allocator's name is in its message.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def weight_bytes(files: Iterable[Path], each: int = 4) -> int:
    """What the tensors of safetensors files take at `each` bytes a number, 4 for float32, by their headers alone; a
    damaged file counts nothing.
    """
    total = 0
    for path in files:
        try:
            with safe_open(str(path), "pt") as file:
                total += sum(each * prod(file.get_slice(name).get_shape()) for name in file.keys())
        except (OSError, SafetensorError):
            continue  # whoever loads it says what is wrong with it
    return total


def available(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Bytes that this process could still get: of the machine, swap included, and of its container, whichever is less.

    None where Linux does not say. Page cache counts as free, since the kernel gives it away. A load that needs more
    would not fail: the kernel would kill the process, without a word.
    """
    try:
        lines = [line.split() for line in meminfo.read_text().splitlines()]
        kib = {line[0].rstrip(":"): int(line[1]) for line in lines if len(line) > 1}
        free = 1024 * (kib["MemAvailable"] + kib["SwapFree"])
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" where there is none
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        cached = int(stat["active_file"]) + int(stat["inactive_file"])
        return min(free, max(0, limit - used + cached))
    except (OSError, ValueError, KeyError):
        return free


def total(cgroup: Path = CGROUP) -> int:
    """Bytes that the machine has, or its container, whichever is less."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(size, int((cgroup / "memory.max").read_text()))
    except (OSError, ValueError):
        return size  # no container, or one without a limit ("max")


def gib(size: int) -> str:
    """A size in GiB, for people."""
    return f"{size / GIB:.1f} GiB"
