"""On the path of a run's processes, ends the one that commits right after it has put a file of the kind $DRILL_PUT.

Once: the file $DRILL_MARK says that it was done.
"""

from __future__ import annotations

import os
import signal

from pipeline.storage import Storage

put = Storage.write


def write(self: Storage, key: str, data: bytes) -> None:
    put(self, key, data)
    if key.startswith(os.environ["DRILL_PUT"]):
        try:
            os.close(os.open(os.environ["DRILL_MARK"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


if "DRILL_PUT" in os.environ:
    Storage.write = write  # type: ignore[method-assign]
