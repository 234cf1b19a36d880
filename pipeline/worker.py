"""A stage in a worker process: the envelope around it, and how each stage is made there.

Imports are late on purpose: a worker that detects does not wait for torch.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline.annotator import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.sources import describe
from pipeline.storage import Storage

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
            return {**row, "error": f"{self.name}: {type(error).__name__}: {describe(error)}", "payload": b""}


def detect_stage(config: RunConfig, crop_size: int, storage: Storage) -> Stage:
    """Loads the detector; its shards come as references into the manifest of `storage`."""
    from pipeline.detect import DetectAndCrop
    from pipeline.shards import ShardLoader

    stage, load = DetectAndCrop(config, crop_size), ShardLoader(storage)
    return lambda ref: stage(load(ref))


def annotate_stage(
    config: RunConfig, source: AnnotatorSource, device: str, threads: int, fingerprint: str
) -> Stage:
    """Loads the model on `device`, torch on `threads` CPU threads."""
    import torch

    from pipeline.annotate import AnnotateFaces

    torch.set_num_threads(threads)
    return AnnotateFaces(config, source.load(device), fingerprint)


def commit_stage(storage: Storage, fingerprint: str) -> Stage:
    """Commits into `storage`."""
    from pipeline.commit import commit_shard

    return lambda shard: commit_shard(storage, shard, fingerprint)
