"""What a drill kills, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drills.harness import NULL, SUPPORT, Count, Job, compare, kill, moment

ATTEMPTS = 3
"""How often the same command may be needed until nothing is left to do."""


@dataclass(frozen=True)
class Result:
    """What one drill did and found: processes killed, runs of the command, and the count against the reference."""

    drill: str
    seed: int
    killed: int
    runs: int
    count: Count
    printed: str


Strike = Callable[[Job, random.Random, int], int]
"""Disturbs a run that has been started, on an output of so many shards; says how many processes it killed."""


def worker(title: str) -> Strike:
    """Kills one worker of a stage (and with it whatever it was working on)."""

    def strike(job: Job, rng: random.Random, shards: int) -> int:
        count, delay = moment(rng, shards)
        victims = job.await_members(f"MapBatches({title})")
        job.wait_for_commits(count)
        time.sleep(delay)
        return kill(victims[:1])

    return strike


def child(job: Job, rng: random.Random, shards: int) -> int:
    """Kills the process in which a detect worker decodes and detects."""
    count, delay = moment(rng, shards)
    victims = job.await_members("pipeline.sandbox")
    job.wait_for_commits(count)
    time.sleep(delay)
    return kill(victims)


def driver(job: Job, rng: random.Random, shards: int) -> int:
    """Kills the command itself, and leaves its workers to themselves."""
    count, delay = moment(rng, shards)
    job.wait_for_commits(count)
    time.sleep(delay)
    return kill([job.process.pid])


def everything(job: Job, rng: random.Random, shards: int) -> int:
    """Kills every process at once, as a power cut does."""
    count, delay = moment(rng, shards)
    job.wait_for_commits(count)
    time.sleep(delay)
    return kill(job.members())


def nothing(job: Job, rng: random.Random, shards: int) -> int:
    """Leaves it to the assassin within."""
    return 0


@dataclass(frozen=True)
class Drill:
    """A way to disturb a run. `put`: after which file of a commit its process ends itself."""

    name: str
    strike: Strike
    put: str = ""


DRILLS = (
    Drill("detect actor", worker("Detect")),
    Drill("detect child", child),
    Drill("annotate actor", worker("Annotate")),
    Drill("commit actor", worker("Commit")),
    Drill("commit after its first put", nothing, "images/"),
    Drill("commit after its second put", nothing, "faces/"),
    Drill("commit after its last put", nothing, "commits/"),
    Drill("driver", driver),
    Drill("everything at once", everything),
)


def perform(
    drill: Drill,
    seed: int,
    corpus: Path,
    reference: Path,
    folder: Path,
    options: tuple[str, ...] = NULL,
) -> Result:
    """Disturbs one run, then gives the same command until it finds nothing to do, and counts.

    Raises:
        RuntimeError: the command does not come to an end of its work.
    """
    rng = random.Random(f"{drill.name} {seed}")
    output, mark = folder / f"out-{seed}", folder / f"mark-{seed}"
    environment = {"PYTHONPATH": str(SUPPORT / "assassin")}
    if drill.put:
        environment |= {"DRILL_PUT": drill.put, "DRILL_MARK": str(mark)}
    shards = sum(path.suffix == ".json" for path in (reference / "commits").iterdir())
    job = Job(corpus, output, options, environment).start()
    killed = drill.strike(job, rng, shards)
    _, printed = job.finish()
    for runs in range(2, ATTEMPTS + 2):
        code, said = Job(corpus, output, options).start().finish()
        printed += said
        if code == 0 and "nothing to do" in said:
            return Result(drill.name, seed, killed + mark.exists(), runs, compare(output, reference), printed)
    raise RuntimeError(f"{drill.name}, seed {seed}: not done after {ATTEMPTS + 1} runs:\n{printed}")
