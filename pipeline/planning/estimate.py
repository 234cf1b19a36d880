"""From what a probe measured to what a run takes on a machine: seconds, workers, memory, bytes, money."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from facegpt.memory import GIB, total
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.execution.plan import Plan, plan_workers
from pipeline.planning.machines import Machine
from pipeline.planning.measured import STEPS, Measured, StepCost
from pipeline.planning.sample import Listed
from pipeline.shards.feed import LISTED_BEFORE_START, SETTLE_SECONDS
from pipeline.shards.manifest import shard_size

RAY_BYTES = round(0.75 * GIB)
"""Of Ray's own processes, beside the workers."""
LISTING = "listing"
NOT_MEASURED = "model not measured"
NO_GPU = "no GPU, which the settings ask for"


@dataclass(frozen=True)
class Estimate:
    """What a run of `images` takes on a machine; `note` says why something is None.

    `start_seconds`: of `seconds`, those before the first shard begins, and after the last one. `bottleneck`: the step,
    or the listing, that the others wait for or that takes most of the time.
    """

    machine: Machine
    images: int
    plan: Plan | None = None
    shards: int = 0
    shard_images: int = 0
    seconds: float | None = None
    start_seconds: float = 0.0
    faces: int = 0
    bottleneck: str = ""
    memory_bytes: int | None = None
    note: str = ""

    @property
    def images_per_second(self) -> float | None:
        """Images of the whole run by its seconds."""
        return self.images / self.seconds if self.seconds else None

    @property
    def cost(self) -> float | None:
        """The price of the machine for that time."""
        price = self.machine.price_per_hour
        return self.seconds / 3600 * price if self.seconds is not None and price is not None else None

    @property
    def fits(self) -> bool:
        """Whether the memory is enough, as far as both are known."""
        gib = self.machine.memory_gib
        return self.memory_bytes is None or gib is None or self.memory_bytes <= gib * GIB


def estimate(
    measured: Measured, listed: Listed, images: int, config: RunConfig, machine: Machine | None = None
) -> Estimate:
    """Estimates a run of `images` on a machine; None is where the probe ran.

    The model's share is known where the probe ran it: on a CPU for other CPUs, on a GPU there alone, unless the
    machine says how many faces its GPU annotates in a second; without it there are no seconds.
    """
    here = machine is None
    machine = machine or this_machine(measured)
    try:
        plan = measured.plan if here else plan_workers(config, machine.cpus, machine.gpus)
    except UsageError:
        return Estimate(machine, images, note=NO_GPU)
    steps = measured.steps if here else _steps_on(machine, measured, plan, config)
    size = min(images, shard_size(images, plan.workers, config.shards))
    shards, faces = -(-images // size), size * measured.faces_per_image
    result = Estimate(
        machine=machine,
        images=images,
        plan=plan,
        shards=shards,
        shard_images=size,
        faces=round(images * measured.faces_per_image),
        memory_bytes=_memory(measured, plan, faces) if plan.device == measured.plan.device else None,
    )
    if steps is None:
        return replace(result, note=NOT_MEASURED)
    work = {step: cost.seconds(size, faces, measured.micro_batch) for step, cost in steps.items()}
    # The last shard may be smaller than the others.
    busy, bottleneck = _makespan(work, measured.gap_seconds, images / size, plan)
    start = measured.start_seconds + measured.warm_up_seconds + measured.end_seconds
    listing = listed.seconds_for(images)
    waited = min(listing, SETTLE_SECONDS, listed.seconds_for(LISTED_BEFORE_START))
    if (till_listed := listing + sum(work.values())) > waited + busy:
        return replace(result, seconds=start + till_listed, start_seconds=start + waited, bottleneck=LISTING)
    return replace(result, seconds=start + waited + busy, start_seconds=start + waited, bottleneck=bottleneck)


def step_seconds(measured: Measured, estimated: Estimate) -> dict[str, float]:
    """Computes the seconds that a worker here is busy with each step of one shard of the run."""
    faces = estimated.shard_images * measured.faces_per_image
    return {
        step: cost.seconds(estimated.shard_images, faces, measured.micro_batch)
        for step, cost in measured.steps.items()
    }


def this_machine(measured: Measured) -> Machine:
    """Describes where the probe ran; what memory a whole cluster has is not asked."""
    cluster = bool(os.environ.get("RAY_ADDRESS"))
    gib = None if cluster else total() / GIB
    return Machine(
        name="this cluster" if cluster else "this machine",
        cpus=measured.cpus,
        gpus=int(measured.gpus),
        memory_gib=gib,
    )


def output_bytes(measured: Measured, images: int, shards: int) -> tuple[int, int]:
    """Computes the bytes of a whole output, and those of its meshes among them."""
    cost, faces = measured.output, images * measured.faces_per_image
    meshes = faces * cost.meshes_per_face * cost.per_mesh
    return round(shards * cost.per_shard + images * cost.per_image + faces * cost.per_face + meshes), round(
        meshes
    )


def _steps_on(
    machine: Machine, measured: Measured, plan: Plan, config: RunConfig
) -> dict[str, StepCost] | None:
    """Gives the costs on another machine, None where one of them was not measured on such a device."""
    if config.detector.device == "cuda":
        return None
    steps = {step: cost.at_speed(machine.core_speed) for step, cost in measured.steps.items()}
    if plan.device == "cpu":
        return steps if measured.plan.device == "cpu" else None
    if machine.faces_per_second is None:
        return None
    # All of its workers share what its GPUs do together.
    rate = machine.faces_per_second * machine.gpus / plan.annotate
    return {**steps, "annotate": StepCost(per_face=1 / rate, cpu_share=0.0)}


def _makespan(work: dict[str, float], gap: float, shards: float, plan: Plan) -> tuple[float, str]:
    """Computes the seconds of all shards, of which each takes `work` seconds by step, and the step that decides.

    At the end of a pool its workers wait for the last one, half a shard's time on average.
    """
    if plan.is_joint:
        slowest = max(work, key=lambda step: work[step])
        return _pool_seconds(sum(work.values()) + gap, shards, plan.annotate), slowest
    workers = {"detect": plan.detect, "annotate": plan.annotate, "commit": plan.commit}
    spans = {step: _pool_seconds(seconds, shards, workers[step]) for step, seconds in work.items()}
    slowest = max(spans, key=lambda step: spans[step])
    # The first shard reaches the slowest pool after the steps before, the last one leaves the run after those behind.
    return spans[slowest] + sum(work.values()) - work[slowest], slowest


def _pool_seconds(each: float, shards: float, workers: int) -> float:
    return max(each, each * (shards / workers + (1 - 1 / workers) / 2))


def _memory(measured: Measured, plan: Plan, faces: float) -> int:
    """Computes the memory of all processes at the most: shared pages count in each of them."""
    memory = measured.memory
    more = round(max(0.0, faces - memory.faces) * memory.per_face)
    steps = {step: memory.by_step[step] + more for step in STEPS}
    ray = RAY_BYTES if measured.engine == "ray" else 0
    if plan.is_joint:
        return memory.driver + ray + plan.annotate * (max(steps.values()) + memory.child)
    pools = (
        plan.detect * (steps["detect"] + memory.child)
        + plan.annotate * steps["annotate"]
        + plan.commit * steps["commit"]
    )
    return memory.driver + ray + pools
