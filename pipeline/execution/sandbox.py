"""Work that may kill its process, in a process of its own: the death of that process costs one item, not the worker.

Native code (image codecs, detectors) can crash on a damaged file, grow beyond the machine's memory, or never return.
`Sandbox` runs it in a child process and hands over results as they come, so that it always knows which item is being
worked on: no search for the culprit is needed, and the items after it go on in a new child.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from select import poll
from typing import Any

START_SECONDS = 600.0
Work = Callable[[list[Any]], Iterator[Any]]
"""Made once in the child; gives one result for each item, in order."""


@dataclass(frozen=True)
class Death:
    """What stands in for the result of an item that killed its process; `reason` is for people."""

    reason: str


@dataclass(frozen=True)
class Failure:
    """The child could not make its work, or the work broke its promise; the message of the exception."""

    message: str


class SandboxError(Exception):
    """The child process cannot work at all; the message says why."""


class Sandbox:
    """Runs `pickle.loads(made)()`, a `Work`, in a child process that is started when it is first needed.

    Args:
        made: a pickled function of no arguments that makes the work.
        seconds: how long one item may take; after that its process is killed.
    """

    def __init__(self, made: bytes, seconds: float) -> None:
        self.made = made
        self.seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None

    def map(self, items: Sequence[Any]) -> Iterator[Any]:
        """Gives for each item its result, or a `Death`. One that was being worked on when the process died is tried
        once more: whoever kills the process from outside (a machine short of memory) costs no item.

        Raises:
            SandboxError: the work cannot be made, or raises an exception.
        """
        done, suspect = 0, -1
        while done < len(items):
            # A suspect goes alone, so that no other item can be blamed for it.
            part = items[done : done + 1] if suspect == done else items[done:]
            for result in self._results(part):
                if isinstance(result, Death) and suspect != done and not result.reason.startswith("took"):
                    suspect = done
                    break
                yield result
                done += 1
                if isinstance(result, Death):
                    break

    def close(self) -> None:
        """Ends the child, if there is one."""
        if self._link is not None:
            self._link.close()
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        self._child = self._link = None

    def _results(self, items: Sequence[Any]) -> Iterator[Any]:
        """Gives the results of a prefix of the items; the last one may be a Death, and ends it."""
        link = self._started()
        try:
            link.send_bytes(pickle.dumps(list(items), protocol=pickle.HIGHEST_PROTOCOL))
            for _ in items:
                if not link.poll(self.seconds):
                    self.close()
                    yield Death(f"took longer than {self.seconds:g} s (workers.image_seconds): stopped")
                    return
                result = pickle.loads(link.recv_bytes())
                if isinstance(result, Failure):
                    self.close()
                    raise SandboxError(result.message)
                yield result
        except (EOFError, ConnectionError):
            yield Death(f"crash: {self._obituary()}")

    def _started(self) -> Connection:
        if self._link is None:
            ours, theirs = socket.socketpair()
            # The child must find what this process finds, wherever that came from (a working directory of a Ray job).
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            with theirs:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "pipeline.execution.sandbox", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
            self._link = Connection(ours.detach())
            self._link.send_bytes(self.made)
            self._await_readiness(self._link)
        return self._link

    def _await_readiness(self, link: Connection) -> None:
        """Waits until the child has imported and loaded what it needs, which is no item's time."""
        try:
            ready = (
                pickle.loads(link.recv_bytes()) if link.poll(START_SECONDS) else Failure("it does not start")
            )
        except (EOFError, ConnectionError):
            ready = Failure(self._obituary())
        if isinstance(ready, Failure):
            self.close()
            raise SandboxError(ready.message)

    def _obituary(self) -> str:
        if self._child is None:
            return "its process ended"
        code = self._child.wait()
        self.close()
        if code >= 0:
            return f"its process ended with exit code {code}"
        hint = ", as when memory runs out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"


def main(descriptor: int) -> None:
    """Makes the work in the child, then serves lists of items until the parent is gone."""
    link = Connection(descriptor)
    threading.Thread(target=_die_with_parent, args=(descriptor,), daemon=True).start()
    try:
        work: Work = pickle.loads(link.recv_bytes())()
        link.send_bytes(pickle.dumps(None))
        while True:
            for result in work(pickle.loads(link.recv_bytes())):
                link.send_bytes(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        link.send_bytes(pickle.dumps(Failure(f"{type(error).__name__}: {' '.join(str(error).split())}")))


def _die_with_parent(descriptor: int) -> None:
    watched = poll()
    watched.register(descriptor, 0)  # nothing but the other end's closing wakes it
    watched.poll()
    os._exit(1)


if __name__ == "__main__":
    # Pickles name this module by its real name, and not __main__.
    from pipeline.execution import sandbox

    sandbox.main(int(sys.argv[1]))
