"""The stages of a run: what each is made from and how, in a worker process.

Workers import this module; what a stage needs it imports itself, so that a worker that detects does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.annotate.model_source import ModelSource
from pipeline.config import RunConfig
from pipeline.shards.shard import ShardRef
from pipeline.storage.store import Storage

StageFunction = Callable[[Any], Any]
"""Turns what the stage before made of a shard into what the next one takes."""


@dataclass(frozen=True)
class Stage:
    """A stage of the graph: its name, how each of its workers makes its function, how many workers there are, and which
    share of a GPU each of them reserves.
    """

    name: str
    make: Callable[[], StageFunction]
    workers: int
    gpus: float = 0.0


@dataclass(frozen=True)
class WorkerSetup:
    """What the workers of a run are made from: its settings, the source of its model, its output, and the fingerprint
    that goes into what they write. It crosses to their processes: small, and unpickled without torch.
    """

    config: RunConfig
    source: ModelSource
    storage: Storage
    fingerprint: str


def detect_stage(config: RunConfig, crop_size: int, storage: Storage) -> StageFunction:
    """Makes the first stage, which detects in a process of its own. Shards come whole, or as references into the
    manifest of `storage`, which also has the ids of forgotten images.
    """
    from pipeline.execution.guarded import GuardedDetect
    from pipeline.shards.manifest import ShardLoader
    from pipeline.shards.tombstones import read_tombstones

    detect = GuardedDetect(config, crop_size, read_tombstones(storage).image_ids)
    load = ShardLoader(storage)
    return lambda shard: detect(load(shard) if isinstance(shard, ShardRef) else shard)


def annotate_stage(
    setup: WorkerSetup, device: str, threads: int, guarded: bytes | None = None
) -> StageFunction:
    """Makes the second stage: loads the model on `device`, torch on `threads` CPU threads; with `guarded` (a pickled
    `pipeline.execution.guarded.annotate_work`) it runs in a process of its own.
    """
    import torch

    from pipeline.annotate.stage import AnnotateFaces

    torch.set_num_threads(threads)
    annotator = setup.source.load(device)
    if guarded is None:
        return AnnotateFaces(setup.config, annotator, setup.fingerprint)
    from pipeline.execution.guarded import GuardedAnnotator

    careful = GuardedAnnotator(annotator, guarded, setup.config.workers.image_seconds)
    return AnnotateFaces(setup.config, careful, setup.fingerprint)


def commit_stage(storage: Storage, fingerprint: str, amends: bool = False) -> StageFunction:
    """Makes the last stage, which commits into `storage`; `amends`: it puts what it gets into shards that are committed
    already.
    """
    from pipeline.output.amend import amend_shard
    from pipeline.output.commit import commit_shard

    commit = amend_shard if amends else commit_shard
    return lambda shard: commit(storage, shard, fingerprint)
