"""Several processes that train one model together, on this machine or on a Ray cluster, by Ray Train."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from facegpt.training.config import TrainConfig
from pipeline.errors import NothingRanError, UsageError, describe

LOG = logging.getLogger("facegpt")
MAX_FAILURES = 3
"""So often a lost process costs the group a restart; it goes on from the last saved step."""


def train_together(part: Callable[[], None], config: TrainConfig) -> None:
    """Runs `part` in `config.compute.workers` processes that find each other by `torch.distributed`.

    Raises:
        UsageError: there are too few CPUs or GPUs for them, so that they would wait for ever.
        NothingRanError: they failed, again and again.
    """
    import ray.train
    import ray.train.torch

    from pipeline.execution.cluster import cluster

    on_gpu = config.compute.device.startswith("cuda")
    each = {"CPU": float(config.compute.threads), **({"GPU": 1.0} if on_gpu else {})}
    output = Path(config.output).absolute()
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    with cluster() as (cpus, gpus):
        for name, there in (("CPU", cpus), ("GPU", gpus)):
            wanted = each.get(name, 0.0) * config.compute.workers
            if wanted > there:
                raise UsageError(
                    f"{config.compute.workers} workers want {wanted:g} {name}s, and Ray has {there:g}: "
                    + ("fewer --workers, or fewer 'threads' for each" if name == "CPU" else "fewer --workers")
                )
        trainer = ray.train.torch.TorchTrainer(
            part,
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.compute.workers, use_gpu=on_gpu, resources_per_worker=each
            ),
            run_config=ray.train.RunConfig(
                name="group",
                storage_path=str(output / "ray"),
                failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise NothingRanError(f"training together failed: {describe(error)}") from error
