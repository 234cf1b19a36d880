"""From the shards of a probe to costs: which of them count, and what they say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pipeline.execution.plan import Plan
from pipeline.output.commit import commit_key, read_commit
from pipeline.planning.measured import STEPS, Measured, MemoryCost, OutputCost, StepCost, batches, fit
from pipeline.shards.costs import CHILD, Costs, own_peak_bytes
from pipeline.shards.shard import ShardOutcome
from pipeline.storage.store import Storage

MODEL = "annotate.model"
COPIES = 3
"""Of a face's crop and of its mesh, at the most at a time, on their way through a shard."""


@dataclass(frozen=True)
class ProbeRun:
    """What happened in a probe: its shards that came through, with what executed them. Times are in seconds since the
    epoch: when it began, when its last shard was done, and when its engine had ended. `before`: seconds that a command
    takes before it starts its engine.
    """

    outcomes: Sequence[ShardOutcome]
    plan: Plan
    engine: str
    cpus: float
    gpus: float
    began: float
    done: float
    ended: float
    before: float


def counted(run: ProbeRun, storage: Storage, crop_size: int) -> Measured:
    """Computes costs from a probe whose shards are committed in `storage`."""
    outcomes = run.outcomes
    total = Costs()
    for outcome in outcomes:
        total.add(outcome.costs)
    micro_batch = total.micro_batch or 1
    steps = {step: _step_cost(step, _steady(step, outcomes), micro_batch) for step in STEPS}
    first = min(began for outcome in outcomes for began, _ in outcome.costs.spans.values())
    output = output_cost(outcomes, storage)
    return Measured(
        plan=run.plan,
        engine=run.engine,
        cpus=run.cpus,
        gpus=run.gpus,
        images=sum(outcome.images for outcome in outcomes),
        faces=sum(outcome.faces for outcome in outcomes),
        failed=sum(outcome.statuses["failed"] for outcome in outcomes),
        seconds=run.ended - run.began,
        start_seconds=run.before + first - run.began,
        warm_up_seconds=sum(_warm_up(step, outcomes, steps[step], micro_batch) for step in STEPS),
        gap_seconds=_gap(outcomes) if run.plan.is_joint else 0.0,
        end_seconds=run.ended - run.done,
        micro_batch=micro_batch,
        steps=steps,
        parts={name: seconds for name, seconds in sorted(total.seconds.items()) if "." in name},
        output=output,
        memory=MemoryCost(
            driver=own_peak_bytes(),
            by_step={step: total.peak_bytes.get(step, 0) for step in STEPS},
            child=total.peak_bytes.get(CHILD, 0),
            faces=max(outcome.faces for outcome in outcomes),
            per_face=round(COPIES * (3 * crop_size**2 + output.per_mesh * output.meshes_per_face)),
        ),
    )


def by_worker(step: str, outcomes: Sequence[ShardOutcome]) -> list[list[ShardOutcome]]:
    """Groups shards by the worker that did a step of them, each group in the order of time."""
    groups: dict[str, list[ShardOutcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda one: one.costs.spans[step]):
        groups[outcome.costs.workers[step]].append(outcome)
    return list(groups.values())


def _steady(step: str, outcomes: Sequence[ShardOutcome]) -> list[ShardOutcome]:
    """Leaves out the first shard of each worker, unless there is no other."""
    return [one for group in by_worker(step, outcomes) for one in group[1:]] or list(outcomes)


def _step_cost(step: str, outcomes: Sequence[ShardOutcome], micro_batch: int) -> StepCost:
    wall = sum(one.costs.seconds[step] for one in outcomes)
    images, faces = (sum(getattr(one, name) for one in outcomes) for name in ("images", "faces"))
    cpu_share = min(1.0, sum(one.costs.cpu_seconds[step] for one in outcomes) / wall) if wall else 1.0
    if step == "detect":
        return StepCost(per_image=wall / images, cpu_share=cpu_share)
    if step == "annotate" and faces:
        model = [one.costs.seconds[MODEL] for one in outcomes]
        points = [
            (batches_of(one.faces, micro_batch), float(one.faces), seconds)
            for one, seconds in zip(outcomes, model, strict=True)
        ]
        per_batch, per_face = fit(points)
        return StepCost(
            per_face=per_face + (wall - sum(model)) / faces, per_batch=per_batch, cpu_share=cpu_share
        )
    per_shard, per_face = fit([(1.0, float(one.faces), one.costs.seconds[step]) for one in outcomes])
    return StepCost(per_shard=per_shard, per_face=per_face, cpu_share=cpu_share)


def batches_of(faces: int, micro_batch: int) -> float:
    """Counts the micro-batches of a shard with so many faces."""
    return float(-(-faces // micro_batch))


def _warm_up(step: str, outcomes: Sequence[ShardOutcome], cost: StepCost, micro_batch: int) -> float:
    """Computes what the first shard of a worker takes longer than it would later, on average."""
    excess = []
    for first, *later in by_worker(step, outcomes):
        usual = cost.seconds(first.images, first.faces, micro_batch)
        usual += cost.per_batch * (batches_of(first.faces, micro_batch) - batches(first.faces, micro_batch))
        excess.append(first.costs.seconds[step] - usual if later else 0.0)
    return max(0.0, fmean(excess))


def _gap(outcomes: Sequence[ShardOutcome]) -> float:
    """Computes the seconds between two shards of a worker that does all steps, on average."""
    gaps = [
        max(0.0, after.costs.spans[STEPS[0]][0] - before.costs.spans[STEPS[-1]][1])
        for group in by_worker(STEPS[0], outcomes)
        for before, after in pairwise(group)
    ]
    return fmean(gaps) if gaps else 0.0


def output_cost(outcomes: Sequence[ShardOutcome], storage: Storage) -> OutputCost:
    """Computes what images, faces and shards take in the output, from the commits of these shards."""
    sizes: dict[str, int] = defaultdict(int)
    fixed = 0
    for outcome in outcomes:
        commit = read_commit(storage, outcome.shard)
        for file in commit["files"]:
            sizes[file["path"].partition("/")[0]] += file["bytes"]
        fixed += len(storage.read(commit_key(outcome.shard)))
    largest = max(outcomes, key=lambda outcome: outcome.images).shard
    footers = {
        table: _footer_bytes(storage.read(f"{table}/{largest}.parquet")) for table in ("images", "faces")
    }
    images, faces, meshes = (
        sum(getattr(one, name) for one in outcomes) for name in ("images", "faces", "meshes")
    )
    shards = len(outcomes)
    return OutputCost(
        per_image=(sizes["images"] - shards * footers["images"]) / images,
        per_face=(sizes["faces"] - shards * footers["faces"]) / faces if faces else 0.0,
        per_mesh=sizes["meshes"] / meshes if meshes else 0.0,
        per_shard=sum(footers.values()) + fixed / shards,
        meshes_per_face=meshes / faces if faces else 0.0,
    )


def _footer_bytes(parquet: bytes) -> int:
    """Reads how long the footer of a Parquet file is, which has the same length whatever rows there are."""
    return int.from_bytes(parquet[-8:-4], "little")
