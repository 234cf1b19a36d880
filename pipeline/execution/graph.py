"""The graph of a run: shards in, outcomes out, each stage a pool of workers.

One Ray Data row is one shard. Nothing reads in a task of its own (a read stage beside actors that reserve every CPU
would never run), workers reserve less than all CPUs, and restarts and retries are bounded.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import ray
import ray.data

from pipeline.annotate.model_source import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.execution.guarded import annotate_work
from pipeline.execution.plan import Plan
from pipeline.execution.worker import (
    Annotate,
    Commit,
    Detect,
    Stage,
    Worker,
    annotate_stage,
    commit_stage,
    detect_stage,
)
from pipeline.shards.shard import ShardOutcome, ShardRef, ShardTask
from pipeline.storage.store import Storage

RESTARTS_PER_SHARD = 3
MAX_TASK_RETRIES = 1


def execute(
    shards: Sequence[ShardRef | ShardTask],
    config: RunConfig,
    source: AnnotatorSource,
    storage: Storage,
    fingerprint: str,
    plan: Plan,
    careful: bool = False,
    amends: bool = False,
) -> Iterator[ShardOutcome]:
    """Runs the shards through detect, annotate and commit; yields what became of each, in no particular order.

    A shard whose worker process dies again and again yields nothing; a shard on which a stage fails yields its error.
    `careful`: the model, too, runs in a process of its own, so that no image can cost the shard.
    `amends`: the tasks are images of shards that are committed already, to be put in the place of their rows there.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # It shows a traceback for every task that a lost node had; which shards those were is for the caller to find out.
    logging.getLogger("ray.data._internal.execution.streaming_executor_state").setLevel(logging.CRITICAL)
    rows = [
        {"shard": shard.shard, "error": "", "refused": False, "payload": pickle.dumps(shard)}
        for shard in shards
    ]
    data: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    guarded = None
    if careful:
        guarded = ray.cloudpickle.dumps(partial(annotate_work, source, plan.device, plan.threads))
    stages: list[tuple[type[Worker], Callable[[], Stage], int, float | None]] = [
        (
            Detect,
            partial(detect_stage, config, source.crop_size, storage),
            plan.detect,
            plan.detect_gpus or None,
        ),
        (
            Annotate,
            partial(annotate_stage, config, source, plan.device, plan.threads, fingerprint, guarded),
            plan.annotate,
            plan.annotate_gpus or None,
        ),
        (Commit, partial(commit_stage, storage, fingerprint, amends), plan.commit, None),
    ]
    for worker, make, workers, stage_gpus in stages:
        with warnings.catch_warnings():
            # max_restarts has no named parameter in this release of Ray, and is deprecated where it can be given.
            warnings.simplefilter("ignore", DeprecationWarning)
            data = data.map_batches(
                worker,
                fn_constructor_kwargs={"name": worker.__name__.lower(), "make": make},
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
                num_cpus=plan.cpus_per_worker,
                num_gpus=stage_gpus,
                # Every shard may cost a process or two; more than that is no accident, and must end.
                max_restarts=RESTARTS_PER_SHARD * len(shards),
                max_task_retries=MAX_TASK_RETRIES,
            )
    for row in data.iter_rows():
        if row["error"]:
            yield ShardOutcome(row["shard"], error=row["error"], refused=row["refused"])
        else:
            yield pickle.loads(row["payload"])
