"""A drill from its first run to the count: disturb, give the same command again until nothing is left, compare."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from drills.counting import Count, compare
from drills.job import SUPPORT, Job
from drills.kills import DRILLS, Drill, Target
from drills.nodes import Nodes
from drills.scenes import Scene

TWO = "two runs at once"
PATIENCE = 5
"""Seconds for which a command without its head waits for it to come back; Ray's own default is 60."""
ATTEMPTS = 3
"""How often the same command may be needed, undisturbed, until nothing is left to do."""


@dataclass(frozen=True)
class Result:
    """What one drill did and found: for each strike that hit how many processes it killed, runs of the command, and the
    count against the reference.
    """

    strikes: tuple[int, ...]
    runs: int
    count: Count
    printed: str


def perform(
    drill: Drill, seed: int, scene: Scene, folder: Path, strikes: int = 1, patience: float = 1.0
) -> Result:
    """Strikes so many times, in one run if it goes on and else in the next ones, then gives the same command until it
    finds nothing to do, and counts. `patience`: see `Target`.

    Raises:
        RuntimeError: the command does not come to an end of its work.
    """
    rng = random.Random(f"{drill.name} {scene.name} {seed}")
    output, marks = folder / f"{drill.slug}-{seed}", folder / f"{drill.slug}-{seed}.marks"
    marks.mkdir()
    at = sorted(rng.sample(range(max(strikes, scene.shards // 2)), strikes)) if drill.put else []
    hits: list[int] = []
    said: list[str] = []
    left = 0 if drill.put else strikes
    with ExitStack() as stack:
        nodes = stack.enter_context(Nodes()) if drill.on_nodes else None
        for runs in range(1, strikes + ATTEMPTS + 2):
            if nodes is not None and not nodes.has_head:
                nodes.renew()
            environment = {} if nodes is None else _on(nodes)
            if drill.put and runs == 1:
                environment |= {
                    "PYTHONPATH": str(SUPPORT / "assassin"),
                    "DRILL_PUT": drill.put,
                    "DRILL_AT": " ".join(map(str, at)),
                    "DRILL_MARKS": str(marks),
                }
            job = Job(scene.photos, output, (*scene.options, *drill.options), environment).start()
            target = Target(job, scene, nodes, patience)
            while left and target.job.process.poll() is None and (nodes is None or nodes.has_head):
                left -= 1
                hits += filter(None, [drill.strike(target, rng)])
            code, printed = target.job.finish()
            said.append(f"run {runs} ended with {code}:\n{printed}")
            if code == 0 and "nothing to do" in printed:
                hits += [1 for number in at if (marks / str(number)).exists()]
                return Result(tuple(hits), runs, compare(output, scene.reference), "".join(said))
    raise RuntimeError(f"{drill.name}, seed {seed}: not done after {runs} runs:\n{''.join(said)}")


def struck(name: str, scene: Scene, folder: Path, seeds: int) -> Result:
    """The drill of this name with one seed after another until one strike hits: the first one at its leisure, each
    further one sooner, the last at once. The last result if none did, the first wrong one if there is one.

    Raises:
        RuntimeError: the command does not come to an end of its work.
    """
    drill = next(drill for drill in DRILLS if drill.name == name)
    for seed in range(seeds):
        result = perform(drill, seed, scene, folder, patience=1 - seed / max(seeds - 1, 1))
        if result.strikes or not result.count.is_right:
            break
    return result


def _on(nodes: Nodes) -> dict[str, str]:
    return {"RAY_ADDRESS": nodes.address, "RAY_gcs_rpc_server_reconnect_timeout_s": str(PATIENCE)}


def two_at_once(seed: int, scene: Scene, folder: Path) -> Result:
    """Gives the same command a second time at a random moment of the first run; a hit is one that was turned away.

    Raises:
        RuntimeError: the second one was not turned away while the first had work, or did not say who holds the output.
    """
    rng = random.Random(f"two at once {scene.name} {seed}")
    output = folder / f"two-at-once-{seed}"
    first = Target(Job(scene.photos, output, scene.options).start(), scene, None)
    time.sleep(rng.random() * scene.seconds / 2)
    code, printed = Job(scene.photos, output, scene.options).start().finish()
    turned_away = first.has_work
    holder = f"is in use by process {first.job.process.pid} on"
    if turned_away and (code != 2 or holder not in printed):
        raise RuntimeError(f"the second of two runs ended with {code}:\n{printed}")
    code, said = first.job.finish()
    if code:
        raise RuntimeError(f"the first of two runs ended with {code}:\n{said}")
    return Result((0,) if turned_away else (), 2, compare(output, scene.reference), printed + said)


def drilled(name: str, seed: int, scene: Scene, folder: Path, strikes: int) -> Result:
    """The drill of this name: all that a process can be told of it. Raises what the drill raises."""
    if name == TWO:
        return two_at_once(seed, scene, folder)
    return perform(next(drill for drill in DRILLS if drill.name == name), seed, scene, folder, strikes)
