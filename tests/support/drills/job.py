"""A run of the real command line that a drill may disturb, and the processes that belong to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SUPPORT = Path(__file__).parents[1]
REPOSITORY = SUPPORT.parents[1]
STARTED_LATE = 240.0
"""Seconds after which a run that has not come to where a drill waits for it has failed."""


@dataclass
class Job:
    """`facegpt annotate CORPUS OUTPUT`."""

    corpus: Path
    output: Path
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)
    printed: IO[bytes] = field(init=False)

    def start(self) -> Job:
        """Starts it, and returns at once."""
        path = [*filter(None, [self.environment.get("PYTHONPATH")]), str(REPOSITORY)]
        # A file and not a pipe, whose end comes only when all that the command has left behind is gone.
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the job
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobs", "annotate", str(self.corpus), str(self.output), *self.options],
            stdout=self.printed,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            # Unbuffered: what it has said shall not be lost with it.
            env={
                **os.environ,
                **self.environment,
                "PYTHONPATH": os.pathsep.join(path),
                "PYTHONUNBUFFERED": "1",
            },
        )
        return self

    def finish(self, seconds: float = 300) -> tuple[int, str]:
        """Waits for its end; gives the exit code and what it printed.

        Raises:
            TimeoutError: it does not end; now it has been made to.
        """
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            kill(family([self.process.pid]))
            raise TimeoutError(
                f"it still ran after {seconds:g} s, and had printed {self._said()!r}"
            ) from error
        return self.process.returncode, self._said()

    def _said(self) -> str:
        # What still lives shares the file's position.
        return os.pread(self.printed.fileno(), 2**20, 0).decode(errors="replace")

    def wait_for_commits(self, count: int) -> None:
        """Returns once `count` shards are committed, or the run has ended.

        Raises:
            TimeoutError: neither happens.
        """
        end = time.monotonic() + STARTED_LATE
        while self.process.poll() is None and commits(self.output) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{commits(self.output)} of {count} commits")
            time.sleep(0.005)

    def members(self, word: str = "") -> list[int]:
        """Its process and all that descend from it, whose command line holds `word`."""
        return [pid for pid in family([self.process.pid]) if word in _command(pid)]

    def await_members(self, word: str) -> list[int]:
        """As `members`, once there are any; none if the run ends before."""
        while self.process.poll() is None:
            if found := self.members(word):
                return found
            time.sleep(0.005)
        return []


def commits(output: Path) -> int:
    """How many shards are committed."""
    folder = output / "commits"
    return sum(path.suffix == ".json" for path in folder.iterdir()) if folder.exists() else 0


def family(pids: Iterable[int]) -> list[int]:
    """These processes and all that descend from them, sorted."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found, waiting = set[int](), list(pids)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return sorted(found)


def kill(pids: Iterable[int]) -> int:
    """SIGKILL to each that still lives; says how many did."""
    killed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself
        killed += 1
    return killed


def _processes() -> Iterator[tuple[int, int]]:
    """Every process that runs (one that has ended and waits for its parent does not), with its parent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended in between
            if status[0] not in "ZX":
                yield int(entry.name), int(status[1])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
