"""The envelope around the steps of a stage in a worker process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import describe
from pipeline.shards.costs import StepClock, costs_of
from pipeline.shards.shard import ShardOutcome
from pipeline.storage.store import is_refusal

StepFunction = Callable[[Any], Any]
"""Turns what the step before made of a shard into what the next one takes."""


@dataclass(frozen=True)
class Step:
    """A step of the work on a shard, and how a worker makes its function."""

    name: str
    make: Callable[[], StepFunction]


class Worker:
    """The steps of a stage in a process of its own, one after the other on each shard. What goes wrong is handed on as
    the shard's error; the next shard is tried.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.trouble = ""
        self.steps: list[tuple[str, StepFunction]] = []
        for step in steps:
            try:
                self.steps.append((step.name, step.make()))
            except Exception as error:
                self.trouble = (
                    f"the {step.name} worker cannot start: {type(error).__name__}: {describe(error)}"
                )
                return

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Runs the steps on each row: `shard`, `error`, `refused` and the pickled `payload`, as in the result."""
        rows = [self._one(row) for row in batch.to_pylist()]
        columns = {
            "shard": pa.array([row["shard"] for row in rows], pa.string()),
            "error": pa.array([row["error"] for row in rows], pa.string()),
            "refused": pa.array([row["refused"] for row in rows], pa.bool_()),
            "payload": pa.array([row["payload"] for row in rows], pa.large_binary()),
        }
        return pa.table(columns)

    def run(self, shard: str, value: Any) -> Any:
        """Puts what stands for a shard through the steps; gives the last one's result, or the outcome that says why
        there is none. What each step costs is added to what the shard carries.
        """
        if self.trouble:
            return ShardOutcome(shard, error=self.trouble)
        for name, function in self.steps:
            before, clock = costs_of(value), StepClock()
            try:
                value = function(value)
            except Exception as error:
                refused = name == "commit" and is_refusal(error)
                text = f"{name}: {type(error).__name__}: {describe(error)}"
                return ShardOutcome(shard, error=text, refused=refused)
            if (costs := costs_of(value)) is not None:
                clock.stop(name, costs)
                if before is not None:
                    costs.follow(before)
        return value

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["error"]:
            return row
        result = self.run(row["shard"], pickle.loads(row["payload"]))
        if isinstance(result, ShardOutcome) and result.error:
            return {**row, "error": result.error, "refused": result.refused, "payload": b""}
        return {**row, "payload": pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)}


def worker_class(name: str) -> type[Worker]:
    """Makes a class of workers with a stage's name, by which lists of processes and Ray's pages tell stages apart.

    It stands in no module, so that it is pickled by value; what it inherits is found by name.
    """
    made: type[Worker] = type(name.capitalize(), (Worker,), {})
    return made
