"""Freed memory stays with the process: large arrays come again without a page fault for each of their pages."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from facegpt.model.allocator import keep_freed_memory

FAULTS = """
import resource
import numpy as np
from facegpt.model.allocator import keep_freed_memory

if {keep}:
    assert keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        first, second = np.ones(40 << 17), np.ones(40 << 17)
        del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def faults(keep: bool) -> int:
    """The page faults of 40 arrays of 40 MiB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_arrays_do_not_fault_again() -> None:
    assert faults(keep=True) * 5 < faults(keep=False)


def test_other_c_libraries_keep_their_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
