"""Waiting for processes to end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path


def wait_until_gone(pids: Sequence[int], seconds: float) -> None:
    """Returns when none of these processes lives, whoever started them; raises TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            readable, _, _ = select.select([handle], [], [], max(end - time.monotonic(), 0))
        finally:
            os.close(handle)
        if not readable:
            raise TimeoutError(f"process {pid} still runs after {seconds} s")


def pids_naming(word: str) -> list[int]:
    """The processes that have `word` somewhere in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word in (entry / "cmdline").read_text(errors="replace"):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between
    return found
