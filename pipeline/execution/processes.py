"""Shards in processes of this machine, without Ray: the same steps, for a run that ends before a cluster pays."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from pipeline.execution.plan import Plan
from pipeline.execution.sandbox import Death, Sandbox, SandboxError, Work
from pipeline.execution.stages import WorkerSetup, stages_of
from pipeline.execution.worker import Step, Worker
from pipeline.shards.shard import ShardOutcome, ShardRef, ShardTask

Shard = ShardRef | ShardTask
Told = Callable[[ShardOutcome | None], None]
"""Takes what became of a shard, None where its worker process died of it twice."""


def execute(
    shards: Sequence[Shard],
    setup: WorkerSetup,
    plan: Plan,
    *,
    careful: bool = False,
    amends: bool = False,
) -> Generator[ShardOutcome, None, None]:
    """Runs the shards in worker processes, each of which does all steps of a shard; yields what became of each, in no
    particular order, as `pipeline.execution.graph.execute` does.
    The plan must be a joint one.
    """
    (stage,) = stages_of(setup, plan, careful=careful, amends=amends)
    made = pickle.dumps(partial(shard_work, stage.steps))
    # Each worker computes with its share of the CPUs, whatever library does it.
    environment = {"OMP_NUM_THREADS": str(plan.threads)}
    todo, done = SimpleQueue[Shard](), SimpleQueue[ShardOutcome | None]()
    for shard in shards:
        todo.put(shard)
    workers = [Sandbox(made, None, environment) for _ in range(min(stage.workers, len(shards)))]
    threads = [
        threading.Thread(target=_serve, args=(worker, todo, done.put), name="worker", daemon=True)
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in shards:
            if (outcome := done.get()) is not None:
                yield outcome
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join()


def shard_work(steps: Sequence[Step]) -> Work:
    """Makes what runs in a worker process: all steps of each shard."""
    worker = Worker(steps)

    def work(shards: list[Any]) -> Iterator[Any]:
        for shard in shards:
            yield worker.run(shard.shard, shard)

    return work


def _serve(worker: Sandbox, todo: SimpleQueue[Shard], tell: Told) -> None:
    """Gives a worker one shard after the other, until there is none or it is stopped."""
    while True:
        try:
            shard = todo.get_nowait()
        except Empty:
            worker.close()
            return
        try:
            for result in worker.map([shard]):
                tell(None if isinstance(result, Death) else result)
        except SandboxError as error:
            tell(ShardOutcome(shard.shard, error=f"the worker cannot start: {error}"))
