"""Work that may kill its process, in a process of its own: the death of that process costs one item, not the worker.

Native code (image codecs, detectors) can crash on a damaged file, grow beyond the machine's memory, or never return.
`Sandbox` runs it in a child process and hands over results as they come, so that it always knows which item is being
worked on: no search for the culprit is needed, and the items after it go on in a new child.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from select import poll
from typing import Any

START_SECONDS = 600.0
PROC = Path("/proc")
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
    """Runs `pickle.loads(made)()`, a `Work`, in a child process that is started by `begin`, or when it is needed.

    Args:
        made: a pickled function of no arguments that makes the work; may be set later, after `begin`.
        seconds: how long one item may take, None for ever; after that its process is killed.
        environment: variables of the child, beside this process's own.
        preload: a module that the child imports while it waits for `made`.
    """

    def __init__(
        self,
        made: bytes = b"",
        seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
        preload: str = "",
    ) -> None:
        self.made = made
        self.seconds = seconds
        self.environment = environment or {}
        self.preload = preload
        self._stopped = self._is_told = self._is_ready = False
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
        self._is_told = self._is_ready = False

    @property
    def pid(self) -> int | None:
        """The child's process, None while there is none."""
        return None if self._child is None else self._child.pid

    def usage(self) -> tuple[float, int]:
        """Tells the CPU seconds of the child so far, and its resident memory at the most, in bytes; zeros without a
        child, or where Linux does not tell.
        """
        if self._child is None:
            return 0.0, 0
        try:
            fields = (PROC / str(self._child.pid) / "stat").read_text().rpartition(")")[2].split()
            status = (PROC / str(self._child.pid) / "status").read_text()
        except (OSError, UnicodeDecodeError):
            return 0.0, 0  # it has just ended, or this is no Linux
        peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1024 * int(peak)

    def stop(self) -> None:
        """Ends the child for good; what it works on in another thread ends there with SandboxError."""
        self._stopped = True
        if child := self._child:
            child.kill()

    def begin(self) -> None:
        """Starts the child, which makes its work while this process goes on; raises SandboxError after `stop`."""
        if self._stopped:
            raise SandboxError("stopped")
        if self._link is None:
            self._link = self._spawned()
        self._tell(self._link)

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
        """Waits until the child has imported and loaded what it needs, which is no item's time. One that dies of it is
        started once more: it may have been killed from outside.
        """
        trouble: Failure | Death | None = None
        while not self._is_ready:
            self.begin()
            assert self._link is not None
            before, trouble = trouble, self._trouble(self._link)
            if trouble is None:
                self._is_ready = True
                break
            self.close()
            if isinstance(trouble, Failure) or before is not None:
                raise SandboxError(trouble.message if isinstance(trouble, Failure) else trouble.reason)
        assert self._link is not None
        return self._link

    def _spawned(self) -> Connection:
        ours, theirs = socket.socketpair()
        # The child must find what this process finds, wherever that came from (a working directory of a Ray job).
        path = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "pipeline.execution.sandbox", str(theirs.fileno()), self.preload],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment, "PYTHONPATH": path},
                # Ctrl-C is for the command alone, with which its children end.
                start_new_session=True,
            )
        if self._stopped:
            self._child.kill()
        self._is_told = self._is_ready = False
        return Connection(ours.detach())

    def _tell(self, link: Connection) -> None:
        """Sends `made`, if it is known and was not sent yet."""
        if self.made and not self._is_told:
            self._is_told = True
            with suppress(ConnectionError):  # whoever waits for its answer learns how it ended
                link.send_bytes(self.made)

    def _trouble(self, link: Connection) -> Failure | Death | None:
        try:
            if not link.poll(START_SECONDS):
                return Failure("it does not start")
            answer = pickle.loads(link.recv_bytes())
        except (EOFError, ConnectionError):
            return Death(self._obituary())
        return answer if isinstance(answer, Failure) else None

    def _obituary(self) -> str:
        if self._child is None:
            return "its process ended"
        code = self._child.wait()
        self.close()
        if code >= 0:
            return f"its process ended with exit code {code}"
        hint = ", as when memory runs out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"


def main(descriptor: int, preload: str) -> None:
    """Makes the work in the child, then serves lists of items until the parent is gone."""
    link = Connection(descriptor)
    threading.Thread(target=_die_with_parent, args=(descriptor,), daemon=True).start()
    try:
        if preload:
            importlib.import_module(preload)
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

    sandbox.main(int(sys.argv[1]), sys.argv[2])
