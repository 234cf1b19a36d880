"""What executes the shards of a run: Ray, or for a small run on one machine processes of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from facegpt.photo.config import NULL
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.execution.plan import Plan, plan_workers
from pipeline.execution.processes import Processes
from pipeline.execution.stages import WorkerSetup
from pipeline.shards.shard import ShardOutcome, ShardRef, ShardTask

IMAGES_PER_CPU = 1000
"""A run of more images is for Ray, whose start, as long as the work on some hundred images, costs little then."""
AHEAD = 4
"""Processes that start before it is known whether they will have work, at most."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much CPU time a container has: microseconds, or `max`, in a period of microseconds."""
GPUS = Path("/proc/driver/nvidia/gpus")


class Execute(Protocol):
    """What runs shards through detect, annotate and commit; see `pipeline.execution.graph.execute`."""

    def __call__(
        self,
        shards: Sequence[ShardRef | ShardTask],
        setup: WorkerSetup,
        plan: Plan,
        *,
        careful: bool = False,
        amends: bool = False,
    ) -> Iterator[ShardOutcome]: ...


@dataclass(frozen=True)
class Engine:
    """The CPUs and GPUs that there are for a run, and what executes its shards on them."""

    cpus: float
    gpus: float
    execute: Execute


def head_start(config: RunConfig) -> Processes:
    """Starts the processes that a run with these settings will have if it turns out to be small.

    Raises:
        UsageError: as `engine_for` does.
    """
    if config.model.path == NULL or not fits_here(config, 0):
        return Processes()
    plan = plan_workers(config, cpus_here(), 0)
    return Processes(min(plan.annotate, AHEAD), plan.threads)


@contextmanager
def engine_for(config: RunConfig, images: int | None, processes: Processes) -> Iterator[Engine]:
    """Gives the engine for a run of so many images, None where it is not known yet how many they are: these processes,
    or Ray, and then they end.

    Raises:
        NothingRanError: Ray could not start, or the cluster cannot be reached.
        UsageError: the settings want both processes without Ray and what only Ray can do.
    """
    if fits_here(config, images):
        yield Engine(cpus_here(), 0, processes.execute)
        return
    processes.end()
    # Ray takes seconds to import and to start.
    from pipeline.execution import graph
    from pipeline.execution.cluster import cluster

    with cluster() as (cpus, gpus):
        yield Engine(cpus, gpus, graph.execute)


def fits_here(config: RunConfig, images: int | None) -> bool:
    """Tells whether a run does without Ray: what `workers.engine` says; by itself, a run of few images on a machine
    without a GPU, that joins no cluster and names no workers for a single step. Raises UsageError as `engine_for` does.
    """
    workers = config.workers
    pools = workers.detect or workers.commit
    on_gpu = "cuda" in (config.model.device, config.detector.device)
    if workers.engine == "processes" and (pools or on_gpu):
        raise UsageError(
            "workers.engine=processes has no GPU and no workers that only detect or commit: leave out device=cuda, "
            "workers.detect and workers.commit, or take workers.engine=ray"
        )
    if workers.engine != "auto":
        return workers.engine == "processes"
    ray = sys.modules.get("ray")
    return (
        images is not None
        and images <= IMAGES_PER_CPU * cpus_here()
        and not os.environ.get("RAY_ADDRESS")
        and not (ray is not None and ray.is_initialized())
        and not (pools or on_gpu)
        and (config.model.device == "cpu" or not gpus_here())
    )


def cpus_here() -> float:
    """Counts the CPUs that this process may use, as the scheduler and a container's quota bound them."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = QUOTA.read_text().split()
    except (OSError, ValueError):
        return allowed  # no Linux, or no container
    return allowed if quota == "max" else min(allowed, max(1.0, int(quota) / int(period)))


def gpus_here() -> int:
    """Counts the NVIDIA GPUs that this process may use, without loading a library for it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = sum(1 for _ in GPUS.iterdir()) if GPUS.is_dir() else 0
    return (
        there if visible is None else min(there, len([name for name in visible.split(",") if name.strip()]))
    )
