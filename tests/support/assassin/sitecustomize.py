"""On the path of a run's processes, ends the one that commits right after it has put a file of the kind $DRILL_PUT.

The files in $DRILL_MARKS, numbered from 0, count such puts over all processes; $DRILL_AT are the numbers to strike at.
And as long as there is a file $DRILL_FULL, the disk is full.
"""

from __future__ import annotations

import errno
import os
import signal
from itertools import count

from pipeline.storage.store import Storage

put = Storage.write


def write(self: Storage, key: str, data: bytes) -> None:
    if os.path.exists(os.environ.get("DRILL_FULL", "")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    put(self, key, data)
    if (
        key.startswith(os.environ.get("DRILL_PUT", "no such key"))
        and number() in os.environ["DRILL_AT"].split()
    ):
        os.kill(os.getpid(), signal.SIGKILL)


def number() -> str:
    """Of this put: the first for which there is no mark yet, which there is then."""
    for candidate in count():
        try:
            os.close(os.open(f"{os.environ['DRILL_MARKS']}/{candidate}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return str(candidate)
    raise AssertionError("there is always one more number")


if {"DRILL_PUT", "DRILL_FULL"} & os.environ.keys():
    Storage.write = write  # type: ignore[method-assign]
