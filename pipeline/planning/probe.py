"""The probe: a small run with the same engine, workers and micro-batches as the run to come, on a sample of its images.

All workers are busy while it measures, since they slow each other. Each does a first shard, which warms it up, and
others. Processes without Ray have shards left when enough is measured, which nobody waits for: none is idle at the end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import cycle, islice

from pipeline.errors import NothingRanError
from pipeline.execution.engine import engine_for, fits_here
from pipeline.execution.plan import Plan, plan_workers
from pipeline.execution.processes import Processes
from pipeline.execution.progress import RunProgress
from pipeline.execution.stages import WorkerSetup
from pipeline.planning.counting import ProbeRun, counted
from pipeline.planning.measured import Measured
from pipeline.run.fingerprint import combined
from pipeline.run.setup import RunSetup
from pipeline.shards.manifest import shard_id, shard_size
from pipeline.shards.shard import ShardOutcome, ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

ROUNDS = 3
"""Shards of each worker at least, the first one included."""
RAY_ROUNDS = 6
"""The same of workers on Ray that do all steps. They do all that they get: Ray complains aloud of abandoned work."""
STEADY_SECONDS = 15.0
"""Processes go on until they have measured for so long: the cost of a face differs by a fifth from shard to shard."""
MOST_ROUNDS = 60
BATCH = 32
"""Images in a shard at least, where the run's have as many: with fewer faces than a micro-batch a model is slower. On a
GPU, whose micro-batches are larger, a shard has the whole sample.
"""
SIZES = (0.75, 1.25)
"""Of the shards after the first, in turn: sizes that differ tell what a micro-batch costs from what a face does."""


def probe(
    setup: RunSetup,
    sample: Sequence[Entry],
    storage: Storage,
    processes: Processes,
    *,
    images: int,
    todo: int | None,
    before: float,
) -> Measured:
    """Runs a sample as a run of so many `images` would, into `storage`, and measures it.

    Args:
        setup: the run's.
        sample: images of its input, each once.
        storage: what is written stays there.
        processes: those of a run without Ray.
        images: of the run.
        todo: what the run knows of their number when it begins (see `engine_for`).
        before: seconds that a command takes before it starts its engine, its listing apart.

    Raises:
        NothingRanError: Ray cannot start, or no shard came through; the message has the reason.
        UsageError: the settings ask for what is not there, as a run would say.
    """
    began = time.time()
    worker_setup = WorkerSetup(setup.config, setup.source, storage, combined(setup.fingerprints))
    engine_name = "processes" if fits_here(setup.config, todo) else "ray"
    with engine_for(setup.config, todo, processes) as engine:
        plan = plan_workers(setup.config, engine.cpus, engine.gpus)
        workers = busiest(plan)
        size = shard_size(images, plan.workers, setup.config.shards)
        least = len(sample) if plan.device == "cuda" else BATCH
        size = min(size, max(least, -(-len(sample) // (ROUNDS * workers))))
        on_ray = RAY_ROUNDS if plan.is_joint else ROUNDS
        can_stop = engine_name == "processes"
        tasks = cut(sample, size, workers, workers * (MOST_ROUNDS if can_stop else on_ray))
        outcomes: list[ShardOutcome] = []
        results = engine.execute(tasks, worker_setup, plan)
        with closing(results), RunProgress(title="probe") as progress:
            progress.expect(sum(len(task.images) for task in tasks[: workers * ROUNDS]))
            for outcome in _until_enough(results, workers, images) if can_stop else results:
                progress.expect(max(0, progress.images + outcome.images - progress.total))
                progress.add(outcome)
                outcomes.append(outcome)
            done = time.time()
    sound = [outcome for outcome in outcomes if not outcome.error]
    if not sound:
        reason = next((outcome.error for outcome in outcomes), "its worker processes died")
        raise NothingRanError(f"no shard of the probe came through: {reason}")
    run = ProbeRun(
        outcomes=sound,
        plan=plan,
        engine=engine_name,
        cpus=engine.cpus,
        gpus=engine.gpus,
        began=began,
        done=done,
        ended=time.time(),
        before=before,
    )
    return counted(run, storage, setup.source.crop_size)


def _until_enough(results: Iterator[ShardOutcome], workers: int, images: int) -> Iterator[ShardOutcome]:
    """Passes on outcomes until enough is measured with so many workers for a run of so many images: no probe need be
    longer than its run.
    """
    started = time.monotonic()
    total = 0
    for count, outcome in enumerate(results, 1):
        yield outcome
        total += outcome.images
        if count == workers:
            started = time.monotonic()
        is_long = time.monotonic() - started >= STEADY_SECONDS or total >= images
        if count >= ROUNDS * workers and is_long:
            return


def busiest(plan: Plan) -> int:
    """Counts the workers of the largest pool that detects or annotates."""
    return max(plan.detect, plan.annotate)


def cut(sample: Sequence[Entry], size: int, workers: int, shards: int) -> list[ShardTask]:
    """Cuts a sample into so many shards of about `size` images for a probe with so many workers. No image is in a shard
    twice, but one may be in several.

    The first ones differ in size, so that the workers do not all do the same step at the same time.
    """
    size = max(1, min(size, len(sample)))
    sizes = [-(-size * (worker + 1) // workers) for worker in range(workers)]
    for index in range(shards - workers):
        sizes.append(max(1, min(round(SIZES[index % len(SIZES)] * size), len(sample))))
    # Neighbours in a listing are alike, and each shard shall be as all are.
    order = list(sample)
    random.Random(0).shuffle(order)
    images = cycle(order)
    return [
        ShardTask(shard_id(0, number), tuple(islice(images, count))) for number, count in enumerate(sizes)
    ]
