"""The graph of a run: shards in, outcomes out, each stage a pool of workers.

One Ray Data row is one shard. Nothing reads in a task of its own (a read stage beside actors that reserve every CPU
would never run), workers reserve less than all CPUs, and restarts and retries are bounded.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Generator, Sequence

import ray
import ray.data

from pipeline.execution.plan import Plan
from pipeline.execution.stages import Stage, WorkerSetup, stages_of
from pipeline.execution.worker import worker_class
from pipeline.shards.shard import ShardOutcome, ShardRef, ShardTask

RESTARTS_PER_SHARD = 3
"""Every shard may cost a process or two; more than that is no accident, and must end."""
MAX_TASK_RETRIES = 1


def execute(
    shards: Sequence[ShardRef | ShardTask],
    setup: WorkerSetup,
    plan: Plan,
    *,
    careful: bool = False,
    amends: bool = False,
) -> Generator[ShardOutcome, None, None]:
    """Runs the shards through the stages as a graph of Ray Data; yields what became of each, in no particular order.

    A shard whose worker process dies again and again yields nothing; a shard on which a stage fails yields its error.
    `careful`: the model, too, runs in a process of its own, so that no image can cost the shard.
    `amends`: the tasks are images of shards that are committed already, to be put in the place of their rows there.
    """
    _configure_ray_data()
    rows = [
        {"shard": shard.shard, "error": "", "refused": False, "payload": pickle.dumps(shard)}
        for shard in shards
    ]
    data: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    pickled = ray.cloudpickle.dumps
    for stage in stages_of(setup, plan, careful=careful, amends=amends, pickled=pickled):
        data = _through(data, stage, plan.cpus_per_worker, restarts=RESTARTS_PER_SHARD * len(shards))
    for row in data.iter_rows():
        if row["error"]:
            yield ShardOutcome(row["shard"], error=row["error"], refused=row["refused"])
        else:
            yield pickle.loads(row["payload"])


def _configure_ray_data() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # It shows a traceback for every task that a lost node had; which shards those were is for the caller to find out.
    logging.getLogger("ray.data._internal.execution.streaming_executor_state").setLevel(logging.CRITICAL)


def _through(data: ray.data.Dataset, stage: Stage, cpus: float, *, restarts: int) -> ray.data.Dataset:
    """Adds a stage, whose workers reserve so many `cpus` each and may be started again `restarts` times."""
    with warnings.catch_warnings():
        # max_restarts has no named parameter in this release of Ray, and is deprecated where it can be given.
        warnings.simplefilter("ignore", DeprecationWarning)
        return data.map_batches(
            worker_class(stage.name),
            fn_constructor_kwargs={"steps": stage.steps},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=stage.workers, initial_size=stage.workers
            ),
            num_cpus=cpus,
            num_gpus=stage.gpus or None,
            max_restarts=restarts,
            max_task_retries=MAX_TASK_RETRIES,
        )
