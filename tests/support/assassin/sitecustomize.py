"""On the path of a run's processes, ends the one that commits right after it has put a file of the kind $DRILL_PUT.

Once: the file $DRILL_MARK says that it was done. And as long as there is a file $DRILL_FULL, the disk is full.
"""

from __future__ import annotations

import errno
import os
import signal

from pipeline.storage import Storage

put = Storage.write


def write(self: Storage, key: str, data: bytes) -> None:
    if os.path.exists(os.environ.get("DRILL_FULL", "")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    put(self, key, data)
    if key.startswith(os.environ.get("DRILL_PUT", "no such key")):
        try:
            os.close(os.open(os.environ["DRILL_MARK"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


if {"DRILL_PUT", "DRILL_FULL"} & os.environ.keys():
    Storage.write = write  # type: ignore[method-assign]
