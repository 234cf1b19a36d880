"""The stages as values: what they are called, and what crosses to their workers."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray

from pipeline.annotate.model_source import CheckpointSource, ModelSource
from pipeline.annotate.null_model import NullSource
from pipeline.config import load_config
from pipeline.execution.plan import plan_workers
from pipeline.execution.stages import Stage, WorkerSetup, stages_of
from pipeline.execution.worker import Worker, worker_class
from pipeline.storage.store import Storage

NAMES = ["detect", "annotate", "commit"]
UNPICKLE = """
import sys
from ray import cloudpickle

worker, steps = cloudpickle.loads(sys.stdin.buffer.read())
heavy = [name for name in ("torch", "facegpt.model.checkpoint") if name in sys.modules]
print(worker.__name__, worker.__mro__[1].__module__, *(step.name for step in steps), *heavy)
"""


def stages(source: ModelSource, *settings: str, careful: bool = False) -> tuple[Stage, ...]:
    config = load_config(None, ["detector.name=null", *settings])
    setup = WorkerSetup(config, source, Storage("unused"), "fingerprint")
    plan = plan_workers(config, 8, 0)
    return stages_of(setup, plan, careful=careful, amends=False, pickled=ray.cloudpickle.dumps)


def test_a_stage_has_the_workers_of_the_plan() -> None:
    (joint,) = stages(NullSource())
    assert (joint.name, joint.workers, [step.name for step in joint.steps]) == ("annotate", 8, NAMES)
    pools = stages(NullSource(), "workers.detect=5")
    assert [(stage.name, stage.workers, stage.gpus) for stage in pools] == [
        ("detect", 5, 0.0),
        ("annotate", 4, 0.0),
        ("commit", 1, 0.0),
    ]
    assert [step.name for stage in pools for step in stage.steps] == NAMES


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("source", [NullSource(), CheckpointSource("bundled")], ids=["null", "bundled"])
def test_a_worker_knows_its_name_and_unpickles_without_torch(place: int, source: ModelSource) -> None:
    stage = stages(source, "workers.detect=5", careful=True)[place]
    sent = ray.cloudpickle.dumps((worker_class(stage.name), stage.steps))
    assert len(sent) < 20_000
    unpickled = subprocess.run([sys.executable, "-c", UNPICKLE], input=sent, capture_output=True, check=True)
    name = NAMES[place]
    assert unpickled.stdout.decode().split() == [name.capitalize(), "pipeline.execution.worker", name]


def test_classes_of_workers_are_named_apart_and_work_alike() -> None:
    """Ray's pages, lists of processes and tests/support/drills tell the stages apart by these names."""
    classes = [worker_class(name) for name in NAMES]
    assert [made.__name__ for made in classes] == ["Detect", "Annotate", "Commit"]
    assert all(issubclass(made, Worker) for made in classes)


@pytest.mark.parametrize(
    "modules", ["jobs.annotate", "pipeline.detect.stage", "pipeline.output.commit, pipeline.output.amend"]
)
def test_who_does_not_run_the_model_does_not_wait_for_torch(modules: str) -> None:
    """The driver and the workers that detect and commit: importing torch takes a second, and 200 MB in each."""
    heavy = {"torch", "transformers", "trimesh", "ray"}
    code = f"import sys, {modules}; print(sorted({heavy} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
