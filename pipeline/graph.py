"""The one module that knows Ray: shards in, outcomes out, each stage a pool of workers.

One Ray Data row is one shard. Nothing reads in a task of its own (a read stage beside actors that reserve every CPU
would never run), workers reserve less than all CPUs, and restarts and retries are bounded.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
import ray.data

from pipeline.annotator import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.errors import NothingRanError, UsageError
from pipeline.guarded import annotate_work
from pipeline.head import watched
from pipeline.leftovers import await_threads
from pipeline.records import ShardOutcome, ShardRef, ShardTask
from pipeline.sources import describe
from pipeline.storage import Storage
from pipeline.worker import (
    Annotate,
    Commit,
    Detect,
    Stage,
    Worker,
    annotate_stage,
    commit_stage,
    detect_stage,
)

OBJECT_STORE_BYTES = 2 * 10**9
RESTARTS_PER_SHARD = 3
MAX_TASK_RETRIES = 1
LEFTOVER_SECONDS = 20.0
DETECTORS_GPU = 0.1
"""What is reserved of a GPU for its detect workers, where they and an annotator share it; a detector is small."""


@dataclass(frozen=True)
class Plan:
    """How many workers each stage has, the CPUs that each reserves, where the model runs, and what share of a GPU each
    worker of the first two stages reserves.
    """

    detect: int
    annotate: int
    commit: int
    cpus_per_worker: float
    device: str
    threads: int
    detect_gpus: float = 0.0
    annotate_gpus: float = 0.0


def plan_workers(config: RunConfig, cpus: float, gpus: float) -> Plan:
    """Shares the machine out: half of the CPU workers detect, half annotate (or one per GPU), and some CPU stays free.

    Raises:
        UsageError: the model or the detector shall run on CUDA and there is no GPU.
    """
    wants = config.model.device
    for key, device in (("model.device", wants), ("detector.device", config.detector.device)):
        if device == "cuda" and gpus < 1:
            raise UsageError(f"{key} is cuda, but Ray sees no GPU here")
    on_gpu = wants != "cpu" and gpus >= 1
    slots = max(2, int(cpus))
    sharing = config.workers.annotate_per_gpu
    annotate = config.workers.annotate or (int(gpus) * sharing if on_gpu else slots - slots // 2)
    detect = config.workers.detect or (max(1, slots - annotate - 1) if on_gpu else slots // 2)
    commit = config.workers.commit or max(1, slots // 8)
    # Reserved is half of what there is, so that all of them still fit, if tightly, when half of the nodes are lost: a
    # stage without any worker would stop the run.
    share = config.workers.cpus or min(1.0, 0.45 * cpus / (detect + annotate + commit))
    threads = max(1, int(config.workers.cpus or cpus // (detect + annotate)))
    needed = math.ceil(annotate / sharing) if on_gpu else 1
    detect_gpus, annotate_gpus = _gpu_shares(
        config.detector.device == "cuda", on_gpu, detect, max(int(gpus), needed), sharing
    )
    return Plan(
        detect,
        annotate,
        commit,
        round(share, 3),
        "cuda" if on_gpu else "cpu",
        threads,
        detect_gpus,
        annotate_gpus,
    )


def _gpu_shares(detects: bool, annotates: bool, workers: int, gpus: int, sharing: int) -> tuple[float, float]:
    """The share of a GPU for each detect worker and for each annotator: `sharing` annotators to a GPU, and beside them
    its part of the detect workers, if these compute there at all.
    """
    left = (DETECTORS_GPU if annotates else 1.0) if detects else 0.0
    return _floored(left / math.ceil(workers / gpus)), _floored((1 - left) / sharing) if annotates else 0.0


def _floored(share: float) -> float:
    """Ray counts in ten-thousandths; rounded up, the last worker would find no room."""
    return math.floor(share * 10_000 + 1e-6) / 10_000


@contextmanager
def cluster() -> Iterator[tuple[float, float]]:
    """Ray for the time of a run: the cluster of RAY_ADDRESS, the one this process is in already, or one of its own.

    Yields:
        The number of CPUs and of GPUs.

    Raises:
        NothingRanError: Ray could not start, or the cluster cannot be reached.
    """
    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not os.environ.get("RAY_ADDRESS"):
            # `local` keeps it from joining whatever cluster another process left running on this machine.
            options |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
            }
        try:
            with _without_stderr():
                ray.init(**options)
        except Exception as error:
            raise NothingRanError(f"Ray could not start: {describe(error)}") from error
    try:
        resources = ray.cluster_resources()
        # A Ray of its own ends with this process, and is not to be waited for.
        joined = ours and os.environ.get("RAY_ADDRESS")
        with watched(ray.get_runtime_context().gcs_address) if joined else nullcontext():
            yield resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    finally:
        # A thread of Ray Data's that asks for something after the shutdown makes Ray end this process at once, with
        # code 1 and not a word. Where one does not end, Ray ends with the process, which has had its say by then.
        if ours and await_threads("ray.data", LEFTOVER_SECONDS):
            ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Hides what Ray's native code writes as it starts (that it read RAY_BACKEND_LOG_LEVEL); errors are exceptions."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
