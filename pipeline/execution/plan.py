"""How many workers each stage has, and what they reserve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.errors import UsageError

DETECTORS_GPU = 0.1
"""What is reserved of a GPU for its detect workers, where they and an annotator share it; a detector is small."""


@dataclass(frozen=True)
class Plan:
    """How many workers each stage has, the CPUs that each reserves, where the model runs, and what share of a GPU each
    worker of the first two stages reserves.
    """

    detect: int
    annotate: int
    commit: int
    cpus_per_worker: float
    device: str
    threads: int
    detect_gpus: float = 0.0
    annotate_gpus: float = 0.0


def plan_workers(config: RunConfig, cpus: float, gpus: float) -> Plan:
    """Shares the machine out: half of the CPU workers detect, half annotate (or one per GPU), and some CPU stays free.

    Raises:
        UsageError: the model or the detector shall run on CUDA and there is no GPU.
    """
    wants = config.model.device
    for key, device in (("model.device", wants), ("detector.device", config.detector.device)):
        if device == "cuda" and gpus < 1:
            raise UsageError(f"{key} is cuda, but Ray sees no GPU here")
    on_gpu = wants != "cpu" and gpus >= 1
    slots = max(2, int(cpus))
    sharing = config.workers.annotate_per_gpu
    annotate = config.workers.annotate or (int(gpus) * sharing if on_gpu else slots - slots // 2)
    detect = config.workers.detect or (max(1, slots - annotate - 1) if on_gpu else slots // 2)
    commit = config.workers.commit or max(1, slots // 8)
    # Reserved is half of what there is, so that all of them still fit, if tightly, when half of the nodes are lost: a
    # stage without any worker would stop the run.
    share = config.workers.cpus or min(1.0, 0.45 * cpus / (detect + annotate + commit))
    threads = max(1, int(config.workers.cpus or cpus // (detect + annotate)))
    needed = math.ceil(annotate / sharing) if on_gpu else 1
    detect_gpus, annotate_gpus = _gpu_shares(
        config.detector.device == "cuda",
        on_gpu,
        workers=detect,
        gpus=max(int(gpus), needed),
        sharing=sharing,
    )
    return Plan(
        detect=detect,
        annotate=annotate,
        commit=commit,
        cpus_per_worker=round(share, 3),
        device="cuda" if on_gpu else "cpu",
        threads=threads,
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
