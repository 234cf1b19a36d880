"""The envelope around a stage in a worker process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline.errors import describe
from pipeline.execution.stages import StageFunction
from pipeline.storage.store import is_refusal


class Worker:
    """A stage in a process of its own. What goes wrong is handed on as the shard's error; the next shard is tried."""

    def __init__(self, name: str, make: Callable[[], StageFunction]) -> None:
        self.name = name
        self.trouble = ""
        self.stage: StageFunction | None = None
        try:
            self.stage = make()
        except Exception as error:
            self.trouble = f"the {name} worker cannot start: {type(error).__name__}: {describe(error)}"

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Runs the stage on each row: `shard`, `error`, `refused` and the pickled `payload`, as in the result."""
        rows = [self._one(row) for row in batch.to_pylist()]
        columns = {
            "shard": pa.array([row["shard"] for row in rows], pa.string()),
            "error": pa.array([row["error"] for row in rows], pa.string()),
            "refused": pa.array([row["refused"] for row in rows], pa.bool_()),
            "payload": pa.array([row["payload"] for row in rows], pa.large_binary()),
        }
        return pa.table(columns)

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["error"]:
            return row
        if self.stage is None:
            return {**row, "error": self.trouble, "payload": b""}
        try:
            result = self.stage(pickle.loads(row["payload"]))
            return {**row, "payload": pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)}
        except Exception as error:
            return {
                **row,
                "error": f"{self.name}: {type(error).__name__}: {describe(error)}",
                "refused": self.name == "commit" and is_refusal(error),
                "payload": b"",
            }


def worker_class(name: str) -> type[Worker]:
    """Makes a class of workers with a stage's name, by which lists of processes and Ray's pages tell stages apart.

    It stands in no module, so that it is pickled by value; what it inherits is found by name.
    """
    made: type[Worker] = type(name.capitalize(), (Worker,), {})
    return made
