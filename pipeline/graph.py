"""The one module that knows Ray: shards in, outcomes out, each stage a pool of workers.

One Ray Data row is one shard. Nothing reads in a task of its own (a read stage beside actors that reserve every CPU would
never run), workers reserve less than all CPUs, and restarts and retries are bounded.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.data

from pipeline.annotate import AnnotateFaces
from pipeline.annotator import AnnotatorSource
from pipeline.commit import commit_shard
from pipeline.config import RunConfig
from pipeline.detect import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.records import AnnotatedShard, ShardOutcome, ShardTask
from pipeline.sources import describe
from pipeline.storage import Storage

OBJECT_STORE_BYTES = 2 * 10**9
MAX_RESTARTS = 5
MAX_TASK_RETRIES = 1
STALL_SECONDS = 1800

Stage = Callable[[Any], Any]


@dataclass(frozen=True)
class Plan:
    """How many workers each stage has, the CPUs that each reserves, and where the model runs."""

    detect: int
    annotate: int
    commit: int
    cpus_per_worker: float
    device: str
    threads: int


def plan_workers(config: RunConfig, cpus: float, gpus: float) -> Plan:
    """Shares the machine out: half of the CPU workers detect, half annotate (or one per GPU), and some CPU stays free.

    Raises:
        UsageError: the model shall run on CUDA and there is no GPU.
    """
    wants = config.model.device
    if wants == "cuda" and gpus < 1:
        raise UsageError("model.device is cuda, but Ray sees no GPU here")
    on_gpu = wants != "cpu" and gpus >= 1
    slots = max(2, int(cpus))
    annotate = config.workers.annotate or (int(gpus) if on_gpu else slots - slots // 2)
    detect = config.workers.detect or (max(1, slots - annotate - 1) if on_gpu else slots // 2)
    commit = config.workers.commit or max(1, slots // 8)
    share = min(1.0, 0.9 * cpus / (detect + annotate + commit))
    threads = max(1, int(cpus) // (detect + annotate))
    return Plan(detect, annotate, commit, round(share, 3), "cuda" if on_gpu else "cpu", threads)


@contextmanager
def cluster() -> Iterator[tuple[float, float]]:
    """Ray for the time of a run: the cluster of RAY_ADDRESS, the one this process is in already, or one of its own.

    Yields:
        The number of CPUs and of GPUs.
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
        ray.init(**options)
    try:
        resources = ray.cluster_resources()
        yield resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    finally:
        if ours:
            ray.shutdown()


def execute(
    tasks: Sequence[ShardTask],
    config: RunConfig,
    source: AnnotatorSource,
    storage: Storage,
    fingerprint: str,
    plan: Plan,
) -> Iterator[ShardOutcome]:
    """Runs the shards through detect, annotate and commit; yields what became of each, in no particular order.

    A shard whose worker process dies again and again yields nothing; a shard on which a stage fails yields its error.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"shard": task.shard, "error": "", "payload": pickle.dumps(task)} for task in tasks]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    stages: list[tuple[str, Callable[[], Stage], int, int]] = [
        ("detect", partial(DetectAndCrop, config, source.crop_size), plan.detect, 0),
        (
            "annotate",
            partial(_annotate_stage, config, source, plan, fingerprint),
            plan.annotate,
            1 if plan.device == "cuda" else 0,
        ),
        ("commit", partial(_commit_stage, storage, fingerprint), plan.commit, 0),
    ]
    for name, make, workers, gpus in stages:
        data = data.map_batches(
            Worker,
            fn_constructor_kwargs={"name": name, "make": make},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            num_cpus=plan.cpus_per_worker,
            num_gpus=gpus or None,
            max_restarts=MAX_RESTARTS,
            max_task_retries=MAX_TASK_RETRIES,
        )
    for row in data.iter_rows():
        if row["error"]:
            yield ShardOutcome(row["shard"], error=row["error"])
        else:
            yield pickle.loads(row["payload"])


class Worker:
    """A stage in a process of its own. What goes wrong is handed on as the shard's error, and the next shard is tried."""

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


def _annotate_stage(config: RunConfig, source: AnnotatorSource, plan: Plan, fingerprint: str) -> Stage:
    import torch

    torch.set_num_threads(plan.threads)
    return AnnotateFaces(config, source.load(plan.device), fingerprint)


def _commit_stage(storage: Storage, fingerprint: str) -> Stage:
    def commit(shard: AnnotatedShard) -> ShardOutcome:
        return commit_shard(storage, shard, fingerprint)

    return commit
