"""A stage in a worker process: the envelope around it, and how each stage is made there.

Imports are late on purpose: a worker that detects does not wait for torch.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline.annotate.model_source import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.errors import describe
from pipeline.shards.shard import ShardRef
from pipeline.storage.store import Storage, is_refusal

Stage = Callable[[Any], Any]


class Worker:
    """A stage in a process of its own. What goes wrong is handed on as the shard's error; the next shard is tried."""

    def __init__(self, name: str, make: Callable[[], Stage]) -> None:
        self.name = name
        self.trouble = ""
        self.stage: Stage | None = None
        try:
            self.stage = make()
        except Exception as error:
            self.trouble = f"the {name} worker cannot start: {type(error).__name__}: {describe(error)}"

    def __call__(self, batch: pa.Table) -> pa.Table:
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


class Detect(Worker):
    """Named apart, so that the lists of processes and Ray's pages tell the stages apart."""


class Annotate(Worker):
    """See `Detect`."""


class Commit(Worker):
    """See `Detect`."""


def detect_stage(config: RunConfig, crop_size: int, storage: Storage) -> Stage:
    """Detects in a process of its own. Shards come whole, or as references into the manifest of `storage`, which also
    has the ids of forgotten images.
    """
    from pipeline.execution.guarded import GuardedDetect
    from pipeline.shards.manifest import ShardLoader
    from pipeline.shards.tombstones import read_tombstones

    stage = GuardedDetect(config, crop_size, read_tombstones(storage).image_ids)
    load = ShardLoader(storage)
    return lambda shard: stage(load(shard) if isinstance(shard, ShardRef) else shard)


def annotate_stage(
    config: RunConfig,
    source: AnnotatorSource,
    device: str,
    threads: int,
    fingerprint: str,
    guarded: bytes | None = None,
) -> Stage:
    """Loads the model on `device`, torch on `threads` CPU threads; with `guarded` (a pickled
    `pipeline.execution.guarded.annotate_work`) it runs in a process of its own.
    """
    import torch

    from pipeline.annotate.stage import AnnotateFaces

    torch.set_num_threads(threads)
    annotator = source.load(device)
    if guarded is None:
        return AnnotateFaces(config, annotator, fingerprint)
    from pipeline.execution.guarded import GuardedAnnotator

    careful = GuardedAnnotator(annotator, guarded, config.workers.image_seconds)
    return AnnotateFaces(config, careful, fingerprint)


def commit_stage(storage: Storage, fingerprint: str, amends: bool = False) -> Stage:
    """Commits into `storage`; `amends`: puts what it gets into shards that are committed already."""
    from pipeline.output.amend import amend_shard
    from pipeline.output.commit import commit_shard

    commit = amend_shard if amends else commit_shard
    return lambda shard: commit(storage, shard, fingerprint)
