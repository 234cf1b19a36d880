"""Shards in processes of this machine, without Ray: the same steps, for a run that ends before a cluster pays."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
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


MODEL = "pipeline.execution.model_imports"


class Processes:
    """Worker processes of this machine. A context manager: leaving it ends them.

    `ahead` of them, with `threads` each, are started at once, before it is known what they shall do: they import what a
    model needs while the driver checks and lists. `waiting`: those of them that have no work yet.
    """

    def __init__(self, ahead: int = 0, threads: int = 1) -> None:
        self.waiting = [Sandbox(environment=_environment(threads), preload=MODEL) for _ in range(ahead)]
        for worker in self.waiting:
            worker.begin()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends those that were started ahead and have no work."""
        while self.waiting:
            self.waiting.pop().close()

    def execute(
        self,
        shards: Sequence[Shard],
        setup: WorkerSetup,
        plan: Plan,
        *,
        careful: bool = False,
        amends: bool = False,
    ) -> Iterator[ShardOutcome]:
        """Runs the shards in workers that do all steps of a shard each, as the plan must want it; yields what became
        of each, in no particular order, as `pipeline.execution.graph.execute` does.
        """
        (stage,) = stages_of(setup, plan, careful=careful, amends=amends)
        made = pickle.dumps(partial(shard_work, stage.steps))
        todo, done = SimpleQueue[Shard](), SimpleQueue[ShardOutcome | None]()
        for shard in shards:
            todo.put(shard)
        workers = [self._worker(made, plan.threads) for _ in range(min(stage.workers, len(shards)))]
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

    def _worker(self, made: bytes, threads: int) -> Sandbox:
        if self.waiting and self.waiting[-1].environment == _environment(threads):
            worker = self.waiting.pop()
            worker.made = made
            return worker
        return Sandbox(made, environment=_environment(threads))


def _environment(threads: int) -> dict[str, str]:
    """Each worker computes with its share of the CPUs, whatever library does it."""
    return {"OMP_NUM_THREADS": str(threads)}


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
