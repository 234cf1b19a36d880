"""A process and everything that it started, as /proc shows them: memory, and whether they are gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Aftermath:
    """`seconds` until what a killed process had started was gone; what had to be ended by hand then, by name."""

    seconds: float
    killed: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """A process of a family: its id, its parent's, the command that it shows, and its memory in MB (PSS)."""

    pid: int
    parent: int
    command: str
    pss_mb: float


@dataclass
class Family:
    """The process `root` and its descendants, including those whose parents have died since they were first seen."""

    root: int
    known: dict[int, str] = field(default_factory=dict)

    def members(self) -> list[int]:
        """Those that live now."""
        table = {pid: (parent, born) for pid, parent, born in _processes()}
        self.known = {pid: born for pid, born in self.known.items() if table.get(pid, (0, ""))[1] == born}
        if self.root in table:
            self.known[self.root] = table[self.root][1]
        grown = True
        while grown:
            children = {pid: born for pid, (parent, born) in table.items() if parent in self.known}
            grown = not children.keys() <= self.known.keys()
            self.known |= children
        return sorted(self.known)

    def driver_mb(self) -> float:
        """Resident memory of `root`; 0 if it is gone."""
        return _kilobytes(self.root, "status", "VmRSS:") / 1024

    def total_mb(self) -> float:
        """Memory of all members, shared pages counted once (PSS)."""
        return sum(pss_mb(pid) for pid in self.members())

    def described(self) -> list[Member]:
        """Those that live now, each with its memory."""
        parents = {pid: parent for pid, parent, _ in _processes()}
        return [Member(pid, parents.get(pid, 0), _name(pid), pss_mb(pid)) for pid in self.members()]

    def kill(self, seconds: float = 60) -> Aftermath:
        """SIGKILL to `root` alone, as a lost machine would, and after `seconds` to what still lives then."""
        self.members()
        os.kill(self.root, signal.SIGKILL)
        os.waitpid(self.root, 0)
        start = time.monotonic()
        while alive := [pid for pid in self.members() if pid != self.root]:
            if time.monotonic() - start > seconds:
                names = tuple(_name(pid) for pid in alive)
                for pid in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return Aftermath(time.monotonic() - start, names)
            time.sleep(0.1)
        return Aftermath(time.monotonic() - start, ())


def pss_mb(pid: int) -> float:
    """Memory of a process, of pages that it shares its part; 0 if it is gone."""
    return _kilobytes(pid, "smaps_rollup", "Pss:") / 1024


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and time of birth of every process that is no zombie."""
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between
        if fields[0] != "Z":
            yield int(entry.name), int(fields[1]), fields[19]


def _name(pid: int) -> str:
    try:
        words = (PROC / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ").split()
    except (FileNotFoundError, ProcessLookupError):
        return "one that is gone now"
    return " ".join(words[:3])


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        for line in (PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended in between
    return 0
