"""How many workers each stage has, and what they reserve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.errors import UsageError

RESERVED = 0.45
"""Of the CPUs for all workers: they still fit, if tightly, when half of the nodes are lost; a stage without any worker
would stop the run.
"""
DETECTORS_GPU = 0.1
"""What is reserved of a GPU for its detect workers, where they and an annotator share it; a detector is small."""


@dataclass(frozen=True)
class Plan:
    """How many workers each stage has, the CPUs that each reserves, where the model runs, and what share of a GPU each
    worker of the first two stages reserves.

    Without workers that only detect, or only commit, each of the `annotate` workers does all three steps of a shard.
    """

    detect: int
    annotate: int
    commit: int
    cpus_per_worker: float
    device: str
    threads: int
    detect_gpus: float = 0.0
    annotate_gpus: float = 0.0

    @property
    def is_joint(self) -> bool:
        """Whether each worker does all steps."""
        return self.detect == 0

    @property
    def workers(self) -> int:
        """Number of workers that detect or annotate."""
        return self.detect + self.annotate

    @property
    def line(self) -> str:
        """Tells the workers in a few words."""
        if self.is_joint:
            return f"{self.annotate} worker{'s' if self.annotate > 1 else ''}, model on {self.device}"
        return f"{self.detect} detect and {self.annotate} annotate workers, model on {self.device}"


def plan_workers(config: RunConfig, cpus: float, gpus: float) -> Plan:
    """Shares the machine out, and some CPU stays free.

    On GPUs, one model each, and the CPUs detect. Where the model runs on the CPU, a worker for each CPU, which does all
    the steps of its shards: whatever a step costs, none waits for another. Workers that only detect, or only commit,
    are there where the settings name their number.

    Raises:
        UsageError: the model or the detector shall run on CUDA and there is no GPU.
    """
    wants = config.model.device
    for key, device in (("model.device", wants), ("detector.device", config.detector.device)):
        if device == "cuda" and gpus < 1:
            raise UsageError(f"{key} is cuda, but there is no GPU here")
    on_gpu = wants != "cpu" and gpus >= 1
    detects_on_gpu = config.detector.device == "cuda"
    settings = config.workers
    if not (on_gpu or detects_on_gpu or settings.detect or settings.commit):
        annotate = settings.annotate or max(1, int(cpus))
        share = settings.cpus or min(1.0, RESERVED * cpus / annotate)
        threads = max(1, int(settings.cpus or cpus // annotate))
        return Plan(0, annotate, 0, round(share, 3), "cpu", threads)
    slots = max(2, int(cpus))
    sharing = settings.annotate_per_gpu
    annotate = settings.annotate or (int(gpus) * sharing if on_gpu else slots - slots // 2)
    detect = settings.detect or (max(1, slots - annotate - 1) if on_gpu else slots // 2)
    commit = settings.commit or max(1, slots // 8)
    needed = math.ceil(annotate / sharing) if on_gpu else 1
    detect_gpus, annotate_gpus = _gpu_shares(
        detects_on_gpu, on_gpu, workers=detect, gpus=max(int(gpus), needed), sharing=sharing
    )
    return Plan(
        detect=detect,
        annotate=annotate,
        commit=commit,
        cpus_per_worker=round(settings.cpus or min(1.0, RESERVED * cpus / (detect + annotate + commit)), 3),
        device="cuda" if on_gpu else "cpu",
        threads=max(1, int(settings.cpus or cpus // (detect + annotate))),
        detect_gpus=detect_gpus,
        annotate_gpus=annotate_gpus,
    )


def _gpu_shares(
    detects: bool, annotates: bool, *, workers: int, gpus: int, sharing: int
) -> tuple[float, float]:
    """Computes the share of a GPU for each detect worker and for each annotator: `sharing` annotators to a GPU, and
    beside them its part of the detect workers, if these compute there at all.
    """
    detectors = (DETECTORS_GPU if annotates else 1.0) if detects else 0.0
    annotators = 1 - detectors if annotates else 0.0
    return _floored(detectors / math.ceil(workers / gpus)), _floored(annotators / sharing)


def _floored(share: float) -> float:
    """Rounds down to ten-thousandths, in which Ray counts; rounded up, the last worker would find no room."""
    return math.floor(share * 10_000 + 1e-6) / 10_000
