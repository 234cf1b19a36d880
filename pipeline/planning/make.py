"""A plan for a run: the input listed and probed, the run estimated here and on other machines, the plan kept."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.annotate.model_source import ModelSource
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.execution.engine import head_start
from pipeline.execution.processes import Processes
from pipeline.output.plan_json import write_plan
from pipeline.output.run_json import now, read_record
from pipeline.planning.estimate import Estimate, estimate, output_bytes, step_seconds
from pipeline.planning.machines import Machine
from pipeline.planning.measured import STEPS, Measured
from pipeline.planning.probe import probe
from pipeline.planning.sample import Listed, list_sample
from pipeline.run.setup import set_up
from pipeline.run.work import Say
from pipeline.shards.feed import LISTED_BEFORE_START, SETTLE_SECONDS
from pipeline.storage.locations import local_path, normalize
from pipeline.storage.store import PROBE, Storage


@dataclass(frozen=True)
class RunPlan:
    """A plan: what was listed and measured, and estimates for the probing machine (`here`) and others."""

    listed: Listed
    measured: Measured
    here: Estimate
    others: tuple[Estimate, ...]

    @property
    def output_bytes(self) -> tuple[int, int]:
        """Bytes of the whole output, and of its meshes among them."""
        return output_bytes(self.measured, self.here.images, self.here.shards)

    def as_json(self) -> dict[str, Any]:
        """Returns what plan.json keeps; nothing that names an image."""
        measured, here = self.measured, self.here
        each = step_seconds(measured, here)
        return {
            "created": now(),
            "images": here.images,
            "faces": here.faces,
            "seconds": round(here.seconds or 0.0, 1),
            "start_seconds": round(here.start_seconds, 1),
            "images_per_second": round(here.images_per_second or 0.0, 3),
            "bottleneck": here.bottleneck,
            "engine": measured.engine,
            "workers": {
                "detect": measured.plan.detect,
                "annotate": measured.plan.annotate,
                "device": measured.plan.device,
            },
            "micro_batch": measured.micro_batch,
            "shard_images": here.shard_images,
            "seconds_per_image": {step: round(each[step] / here.shard_images, 5) for step in STEPS},
            "cpu_seconds_per_image": {
                step: round(each[step] * measured.steps[step].cpu_share / here.shard_images, 5)
                for step in STEPS
            },
            "memory_bytes": here.memory_bytes,
            "output_bytes": self.output_bytes[0],
            "probe": {
                "images": measured.images,
                "faces": measured.faces,
                "seconds": round(measured.seconds, 1),
            },
        }


def make_plan(
    location: str,
    config: RunConfig,
    *,
    output: str | None = None,
    images: int | None = None,
    sample: int = 200,
    machines: Sequence[Machine] = (),
    source: ModelSource | None = None,
    say: Say = print,
) -> RunPlan:
    """Plans `annotate` of an input, by a probe that takes about half a minute.

    Args:
        location: the input, as `annotate` takes it.
        config: the run's.
        output: where the run shall write: the probe writes there, too, and deletes that again, and the plan is kept
            there. Without it the probe writes to a temporary folder of this machine.
        images: of the run; by itself, as many as the input has.
        sample: images of the input that are probed.
        machines: to plan for, besides this one.
        source: the model, if it is not the one that the configuration names.
        say: told each step in a line.

    Raises:
        UsageError: something that the user can put right.
        NothingRanError: Ray could not start, or nothing of the sample came through.
    """
    began = time.time()
    _check(location, output)
    with Processes() if source else head_start(config) as processes:
        setup = set_up(config, source)
        before = time.time() - began
        listed = list_sample(location, output, sample, all_of_it=images is None)
        wanted = images or listed.images
        say(
            f"{listed.images:,} images in {location}{'' if listed.whole else ' so far'}; "
            f"{len(listed.sample):,} of them, evenly spread, are tried"
        )
        known = listed.seconds_for(wanted) <= SETTLE_SECONDS and wanted <= LISTED_BEFORE_START
        with _scratch(output) as storage:
            measured = probe(
                setup,
                listed.sample,
                storage,
                processes,
                images=wanted,
                todo=wanted if known else None,
                before=before,
            )
    result = RunPlan(
        listed,
        measured,
        estimate(measured, listed, wanted, config),
        tuple(estimate(measured, listed, wanted, config, machine) for machine in machines),
    )
    if output is not None:
        write_plan(Storage(output), result.as_json())
    return result


def _check(location: str, output: str | None) -> None:
    """Raises UsageError where a run could not write, or its workers would find no place to write to."""
    if output is None:
        if os.environ.get("RAY_ADDRESS"):
            raise UsageError(
                "on a cluster (RAY_ADDRESS is set) the probe writes where the run will: name it with --output, an "
                "s3:// prefix or a folder that all nodes share"
            )
        return
    storage = Storage(output)
    if normalize(location) == storage.root:
        raise UsageError("INPUT and OUTPUT are the same place")
    read_record(storage)


@contextmanager
def _scratch(output: str | None) -> Iterator[Storage]:
    """Gives a place for the probe's shards, and leaves nothing of it behind, nor of a probe that was killed."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="facegpt-plan-") as folder:
            yield Storage(folder)
        return
    storage = Storage(f"{Storage(output).root}/{PROBE}")
    _remove(storage)
    try:
        yield storage
    finally:
        _remove(storage)


def _remove(storage: Storage) -> None:
    folder = Path(local_path(storage.root))
    if storage.remote:
        storage.delete(storage.keys(hidden=True))
    elif folder.exists():
        shutil.rmtree(folder)
