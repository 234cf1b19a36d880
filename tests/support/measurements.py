"""What a probe might have measured, in round numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facegpt.memory import GIB
from pipeline.execution.plan import Plan
from pipeline.planning.measured import Measured, MemoryCost, OutputCost, StepCost

JOINT = Plan(0, 2, 0, 0.45, "cpu", 1)


def measured(**changes: Any) -> Measured:
    """Two joint workers: 0.1 s an image to detect, 0.2 s a face to annotate, a second a shard to commit; half of the
    images have a face.
    """
    usual = Measured(
        plan=JOINT,
        engine="processes",
        cpus=2,
        gpus=0,
        images=100,
        faces=50,
        failed=0,
        seconds=30.0,
        start_seconds=6.0,
        warm_up_seconds=2.0,
        gap_seconds=0.0,
        end_seconds=1.0,
        micro_batch=32,
        steps={
            "detect": StepCost(per_image=0.1),
            "annotate": StepCost(per_face=0.2),
            "commit": StepCost(per_shard=1.0),
        },
        parts={"detect.find": 3.0, "detect.decode": 1.0, "annotate.model": 9.0},
        output=OutputCost(100.0, 2000.0, 100_000.0, 5000.0, 1.0),
        memory=MemoryCost(GIB // 4, {"detect": GIB, "annotate": GIB, "commit": GIB}, GIB // 2, 40, 1_000_000),
    )
    return replace(usual, **changes)
