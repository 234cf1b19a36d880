"""Memory of a whole run, process by process: pages that several share count once, a part in each (PSS)."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass

from benchmarks.scale.processes import Family, Member
from benchmarks.throughput.command import annotate_command, run
from benchmarks.throughput.runs import Place

DRIVER, WORKER, DETECT, OTHER = "the command", "worker", "its process that detects", "Ray's own and helpers"
SANDBOX = "pipeline.execution.sandbox"
EVERY = 0.2


@dataclass(frozen=True)
class Memory:
    """A run's memory at its peak, in MB: all of it, and by role the number of processes, their sum and the largest.

    `highest` is the most that one process of a role ever had.
    """

    photos: int
    peak: float
    roles: dict[str, tuple[int, float, float]]
    highest: dict[str, float]


def measure(place: Place, photos: int, overrides: tuple[str, ...] = ()) -> Memory:
    """Runs `facegpt annotate` over `photos` photos and reads the memory of its processes from /proc again and again.

    Raises:
        CommandError: the run failed.
    """
    corpus, output = place.corpus(photos), place.work / "output"
    shutil.rmtree(output, ignore_errors=True)
    seen: list[list[tuple[str, float]]] = []
    families: dict[int, Family] = {}

    def look(pid: int, _: float) -> None:
        family = families.setdefault(pid, Family(pid))
        members = {one.pid: one for one in family.described()}
        seen.append([(role_of(one, members, pid), one.pss_mb) for one in members.values()])

    run(annotate_command(corpus, output, [*place.overrides, *overrides]), watch=look, every=EVERY)
    shutil.rmtree(output)
    return summarize(photos, seen)


def role_of(member: Member, members: dict[int, Member], root: int) -> str:
    """Names what a process of a run does: by its command, and by whose child it is."""
    if member.pid == root:
        return DRIVER
    if SANDBOX in member.command:
        parent = members.get(member.parent)
        of_worker = parent is not None and (SANDBOX in parent.command or parent.command.startswith("ray::"))
        return DETECT if of_worker else WORKER
    # Ray shows what a worker of a stage is for; its other processes wait, or keep books.
    return WORKER if "MapWorker" in member.command else OTHER


def summarize(photos: int, seen: list[list[tuple[str, float]]]) -> Memory:
    """Finds the moment of the highest sum; raises ValueError if nothing was seen."""
    top = max(seen, key=lambda moment: sum(size for _, size in moment))
    counts = Counter(role for role, _ in top)
    roles = {
        role: (
            count,
            sum(size for one, size in top if one == role),
            max(size for one, size in top if one == role),
        )
        for role, count in counts.items()
    }
    highest = {role: max(size for moment in seen for one, size in moment if one == role) for role in roles}
    return Memory(photos, sum(size for _, size in top), roles, highest)
