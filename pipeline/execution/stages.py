"""The stages of a run: the steps of each, and how a worker process makes them.

Workers import this module; what a stage needs it imports itself, so that a worker that detects does not wait for torch.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.annotate.model_source import ModelSource
from pipeline.config import RunConfig
from pipeline.execution.plan import Plan
from pipeline.execution.worker import Step, StepFunction
from pipeline.shards.shard import ShardRef
from pipeline.storage.store import Storage

Pickle = Callable[[Any], bytes]


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its name, the steps that each of its workers does, how many workers there are, and which share
    of a GPU each of them reserves.
    """

    name: str
    steps: tuple[Step, ...]
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


def stages_of(
    setup: WorkerSetup, plan: Plan, *, careful: bool, amends: bool, pickled: Pickle = pickle.dumps
) -> tuple[Stage, ...]:
    """Lists the stages in their order: three pools of workers, or where the plan has no workers that only detect, one
    whose workers do all three steps of a shard.

    `careful`: the model runs in a process of its own, whose making is `pickled`. `amends`: see `commit_step`. What
    makes a step carries to the worker no more than it needs.
    """
    from pipeline.execution.guarded import annotate_work

    guarded = pickled(partial(annotate_work, setup.source, plan.device, plan.threads)) if careful else None
    detect = Step("detect", partial(detect_step, setup.config, setup.source.crop_size, setup.storage))
    annotate = Step("annotate", partial(annotate_step, setup, plan.device, plan.threads, guarded))
    commit = Step("commit", partial(commit_step, setup.storage, setup.fingerprint, amends))
    if plan.is_joint:
        return (Stage("annotate", (detect, annotate, commit), plan.annotate, plan.annotate_gpus),)
    return (
        Stage("detect", (detect,), plan.detect, plan.detect_gpus),
        Stage("annotate", (annotate,), plan.annotate, plan.annotate_gpus),
        Stage("commit", (commit,), plan.commit),
    )


def detect_step(config: RunConfig, crop_size: int, storage: Storage) -> StepFunction:
    """Makes the first step, which detects in a process of its own. Shards come whole, or as references into the
    manifest of `storage`, which also has the ids of forgotten images.
    """
    from pipeline.execution.guarded import GuardedDetect
    from pipeline.shards.manifest import ShardLoader
    from pipeline.shards.tombstones import read_tombstones

    detect = GuardedDetect(config, crop_size, read_tombstones(storage).image_ids)
    load = ShardLoader(storage)
    return lambda shard: detect(load(shard) if isinstance(shard, ShardRef) else shard)


def annotate_step(
    setup: WorkerSetup, device: str, threads: int, guarded: bytes | None = None
) -> StepFunction:
    """Makes the second step: loads the model on `device`, torch on `threads` CPU threads; with `guarded` (a pickled
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


def commit_step(storage: Storage, fingerprint: str, amends: bool = False) -> StepFunction:
    """Makes the last step, which commits into `storage`; `amends`: it puts what it gets into shards that are committed
    already.
    """
    from pipeline.output.amend import amend_shard
    from pipeline.output.commit import commit_shard

    commit = amend_shard if amends else commit_shard
    return lambda shard: commit(storage, shard, fingerprint)
