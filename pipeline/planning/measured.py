"""What a probe measured: the costs of each step by image, face, micro-batch and shard, apart from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.execution.plan import Plan

STEPS = ("detect", "annotate", "commit")


@dataclass(frozen=True)
class StepCost:
    """Wall seconds that a step takes in a worker while all others are at work, too. `cpu_share`: of these seconds, that
    in which it computed; in the others it waited for a disk, a store, a GPU or the other workers.
    """

    per_image: float = 0.0
    per_face: float = 0.0
    per_batch: float = 0.0
    per_shard: float = 0.0
    cpu_share: float = 1.0

    def seconds(self, images: float, faces: float, micro_batch: int) -> float:
        """Computes the seconds for a shard of so many images with so many faces."""
        return (
            self.per_shard
            + self.per_image * images
            + self.per_face * faces
            + self.per_batch * batches(faces, micro_batch)
        )

    def at_speed(self, core_speed: float) -> StepCost:
        """Returns the costs on cores that compute so many times as fast; waiting takes as long there."""
        factor = self.cpu_share / core_speed + 1 - self.cpu_share
        return StepCost(
            self.per_image * factor,
            self.per_face * factor,
            self.per_batch * factor,
            self.per_shard * factor,
            self.cpu_share / core_speed / factor,
        )


@dataclass(frozen=True)
class OutputCost:
    """Bytes that a run writes."""

    per_image: float
    per_face: float
    per_mesh: float
    per_shard: float
    meshes_per_face: float


@dataclass(frozen=True)
class MemoryCost:
    """Resident bytes: of the driver; of a process of each step, by step, at shards with `faces` faces; of the child of
    each worker that detects; and what each face more in a shard adds.
    """

    driver: int
    by_step: dict[str, int]
    child: int
    faces: int
    per_face: int


@dataclass(frozen=True)
class Measured:
    """Costs that a probe measured, with the workers `plan` on `cpus` and `gpus`, Ray or not (`engine`).

    `images` and `faces` are those of the shards that were counted, `failed` images among them. `seconds`: the probe's
    own. `start_seconds`: from the beginning of a command, its listing apart, to the first step of the first shard.
    `warm_up_seconds`: what the first shard of each worker takes longer than others. `gap_seconds`: between two shards
    of a worker. `end_seconds`: from the last shard to the end. `parts`: seconds of parts of steps (`detect.decode`).
    """

    plan: Plan
    engine: str
    cpus: float
    gpus: float
    images: int
    faces: int
    failed: int
    seconds: float
    start_seconds: float
    warm_up_seconds: float
    gap_seconds: float
    end_seconds: float
    micro_batch: int
    steps: dict[str, StepCost]
    parts: dict[str, float]
    output: OutputCost
    memory: MemoryCost

    @property
    def faces_per_image(self) -> float:
        """Faces for each image."""
        return self.faces / self.images


def batches(faces: float, micro_batch: int) -> float:
    """Computes how many micro-batches a shard with so many faces has on average: the last one is half full."""
    some = min(1.0, faces)
    return max(some, faces / micro_batch + some / 2)


def fit(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Fits seconds = a * first + b * second to points (first, second, seconds), with a and b not negative; where the
    points do not tell them apart, a is zero. The sum over the points is theirs.
    """
    first, second, seconds = np.array(points, np.float64).T
    if second.sum() <= 0:
        return (float(seconds.sum() / first.sum()), 0.0) if first.sum() > 0 else (0.0, 0.0)
    alone = (0.0, float(seconds.sum() / second.sum()))
    if len(points) < 3:
        return alone
    (a, b), _, rank, _ = np.linalg.lstsq(np.stack([first, second], 1), seconds, rcond=None)
    if rank < 2 or a < 0 or b < 0:
        return alone
    scale = seconds.sum() / (a * first + b * second).sum()
    return float(a * scale), float(b * scale)
