"""Waiting for the threads that a library has left at work in this process."""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from types import FrameType

STEP_SECONDS = 0.05
LOOKS = 3


def await_threads(package: str, seconds: float) -> bool:
    """Waits until no other thread is at work in code of `package`, at most so many `seconds`; says whether none is.

    Abandoned generators, whose threads end with them, are collected first. A thread that sleeps until somebody wakes it
    is not at work (Ray Data leaves one for good where rows are not read to their end), unless it is woken meanwhile.
    """
    end, quiet = time.monotonic() + seconds, 0
    gc.collect()
    while quiet < LOOKS:
        quiet = 0 if _is_at_work(package) else quiet + 1
        if time.monotonic() > end:
            return False
        time.sleep(STEP_SECONDS)
    return True


def _is_at_work(package: str) -> bool:
    others = [top for ident, top in sys._current_frames().items() if ident != threading.get_ident()]
    return any(_module(top) != "threading" and _is_in(top, package) for top in others)


def _is_in(top: FrameType, package: str) -> bool:
    return any(f"{_module(frame)}.".startswith(f"{package}.") for frame, _ in traceback.walk_stack(top))


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
