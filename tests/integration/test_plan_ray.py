"""`facegpt plan` on Ray: of its own, and a cluster that RAY_ADDRESS names, with GPUs that Ray only believes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake_model
import pytest
import ray
import ray.cluster_utils
from drills.nodes import STORE_BYTES
from fake_model import FakeSource
from whole_runs import five_images

from pipeline.config import load_config
from pipeline.output.plan_json import read_plan
from pipeline.output.run_json import existing_run
from pipeline.planning.make import make_plan
from pipeline.planning.table import lines
from pipeline.run.annotate import annotate
from pipeline.storage.store import Storage
from pipeline.upkeep.against_plan import compare
from pipeline.upkeep.status import read_status

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def model_by_value() -> Iterator[None]:
    """Workers do not have the tests' path: the stand-in for the model is sent to them by value."""
    ray.shutdown()  # of the Ray that the tests of this process may share
    ray.cloudpickle.register_pickle_by_value(fake_model)
    yield
    ray.cloudpickle.unregister_pickle_by_value(fake_model)


@pytest.fixture
def gpu_nodes(model_by_value: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A head without CPUs, and two nodes with a GPU each, which RAY_ADDRESS names."""
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_gpu_cluster_is_planned_for_by_its_pools(gpu_nodes: None, tmp_path: Path) -> None:
    photos, output = five_images(tmp_path), str(tmp_path / "out")
    config = load_config(None, ["workers.detect=2", "workers.commit=1"])
    said: list[str] = []
    made = make_plan(str(photos), config, output=output, images=1000, source=FakeSource(), say=said.append)
    plan = made.measured.plan
    assert (made.measured.engine, plan.device, plan.detect, plan.annotate, plan.commit) == (
        "ray",
        "cuda",
        2,
        2,
        1,
    )
    assert made.here.machine.name == "this cluster" and made.here.machine.gpus == 2
    assert made.here.seconds is not None and made.here.bottleneck in ("detect", "annotate", "commit")
    assert any("2 detect and 2 annotate workers, model on cuda, on Ray" in line for line in lines(made))
    storage = Storage(output)
    assert storage.keys(hidden=True) == ["plan.json"]
    annotate(str(photos), output, config, source=FakeSource(), say=str)
    kept = read_plan(storage)
    assert kept is not None
    assert "times the plan" in compare(kept, existing_run(storage), read_status(storage))


def test_the_start_of_a_ray_of_its_own_is_in_the_plan(
    model_by_value: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = load_config(None, ["workers.annotate=2", "workers.engine=ray"])
    made = make_plan(str(five_images(tmp_path)), config, source=FakeSource(), say=str)
    assert made.measured.engine == "ray" and made.measured.plan.is_joint
    assert 1 < made.measured.start_seconds < (made.here.seconds or 0)
    assert "raylet" not in capfd.readouterr().err
    assert not ray.is_initialized()
