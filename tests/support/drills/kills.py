"""What a drill kills, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from drills.job import Job, commits, kill
from drills.nodes import Nodes
from drills.scenes import Scene


@dataclass(frozen=True)
class Target:
    """A run that is to be disturbed, and the cluster that it works on, where that is not its own. `patience` in 0..1:
    how much of the random waiting before a strike is done.
    """

    job: Job
    scene: Scene
    nodes: Nodes | None
    patience: float = 1.0

    @property
    def has_work(self) -> bool:
        """Whether the run goes on, with shards still to commit."""
        return self.job.process.poll() is None and commits(self.job.output) < self.scene.shards

    def await_moment(self, rng: random.Random, begun: bool = False) -> None:
        """Returns at a random moment: while the run starts, unless it has `begun` its work, or in the first half of
        what is left to commit.

        Later ones would often come after the end, since the null model is quick; and even these do on a machine that
        was slower when the reference was made than it is now. Without patience it is the first moment that there is.
        """
        there = commits(self.job.output)
        more = int(self.patience * rng.randrange(max(1, (self.scene.shards - there) // 2)))
        self.job.wait_for_commits(there + more)
        longest = self.scene.pace if more or begun else self.scene.seconds / 2
        time.sleep(self.patience * rng.random() * longest)

    def struck(self, killed: int) -> int:
        """How many of the killed count: all, if there is a shard that was not committed by then, else none."""
        return killed if commits(self.job.output) < self.scene.shards else 0


RAY = ("--set", "workers.engine=ray")
"""All steps of a shard in one actor."""
THREE_POOLS = (*RAY, "--set", "workers.detect=1", "--set", "workers.annotate=1")
ALONE = ("--set", "workers.engine=processes")

Strike = Callable[[Target, random.Random], int]
"""Disturbs a run that has been started; says how many processes it killed while there was work."""


def one_of(word: str) -> Strike:
    """Kills one process of those with this word in their command line, and with it whatever it was working on."""

    def strike(target: Target, rng: random.Random) -> int:
        target.job.await_members(word)
        target.await_moment(rng, begun=True)
        victims = target.job.await_members(word)
        return target.struck(kill(rng.sample(victims, min(1, len(victims)))))

    return strike


def driver(target: Target, rng: random.Random) -> int:
    """Kills the command itself, and leaves its workers to themselves."""
    target.await_moment(rng)
    return target.struck(kill([target.job.process.pid]) if target.has_work else 0)


def everything(target: Target, rng: random.Random) -> int:
    """Kills every process at once, as a power cut does."""
    target.await_moment(rng)
    return target.struck(kill(target.job.members()) if target.has_work else 0)


def node(target: Target, rng: random.Random) -> int:
    """Kills all processes of one of the nodes that do the work."""
    assert target.nodes is not None
    target.await_moment(rng)
    return target.struck(target.nodes.lose_node(rng) if target.has_work else 0)


def head(target: Target, rng: random.Random) -> int:
    """Kills all processes of the head. The command, which runs elsewhere, has to notice."""
    assert target.nodes is not None
    target.await_moment(rng)
    return target.struck(target.nodes.lose_head() if target.has_work else 0)


def head_and_driver(target: Target, rng: random.Random) -> int:
    """Kills all processes of the head and the command, which runs there where it was submitted as a job."""
    assert target.nodes is not None
    target.await_moment(rng)
    if not target.has_work:
        return 0
    return target.struck(kill([target.job.process.pid]) + target.nodes.lose_head())


def nothing(target: Target, rng: random.Random) -> int:
    """Leaves it to the assassin within."""
    return 0


@dataclass(frozen=True)
class Drill:
    """A way to disturb a run. `put`: after which file of a commit its process ends itself. `on_nodes`: on a cluster.
    `options`: of the command, beside those of the scene.
    """

    name: str
    strike: Strike
    put: str = ""
    on_nodes: bool = False
    options: tuple[str, ...] = RAY

    @property
    def slug(self) -> str:
        return self.name.replace(" ", "-")


DRILLS = (
    Drill("everything at once", everything),
    Drill("everything at once without Ray", everything, options=ALONE),
    Drill("worker node", node, on_nodes=True),
    Drill("head node", head, on_nodes=True),
    Drill("head node with the driver", head_and_driver, on_nodes=True),
    Drill("driver", driver),
    Drill("driver without Ray", driver, options=ALONE),
    Drill("detect actor", one_of("MapBatches(Detect)"), options=THREE_POOLS),
    Drill("detect child", one_of("pipeline.execution.sandbox")),
    Drill("annotate actor", one_of("MapBatches(Annotate)"), options=THREE_POOLS),
    Drill("actor of all steps", one_of("MapBatches(Annotate)")),
    Drill("worker or detect child without Ray", one_of("pipeline.execution.sandbox"), options=ALONE),
    Drill("commit actor", one_of("MapBatches(Commit)"), options=THREE_POOLS),
    Drill("commit after its first put", nothing, "images/", options=THREE_POOLS),
    Drill("commit after its second put", nothing, "faces/"),
    Drill("commit after its last put", nothing, "commits/", options=ALONE),
)
