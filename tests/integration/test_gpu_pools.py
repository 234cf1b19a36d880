"""Pools of GPU workers over several nodes, with GPUs that Ray only believes in: who gets which, and who shares one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fake_model
import numpy as np
import pytest
import ray
import ray.cluster_utils
from drills.nodes import STORE_BYTES
from fake_model import FakeAnnotator, FakeSource
from images import encoded
from numpy.typing import NDArray
from PIL import Image

from facegpt.model.annotation import FaceAnnotation
from pipeline.config import load_config
from pipeline.execution.plan import plan_workers
from pipeline.output.run_json import existing_run
from pipeline.run.annotate import annotate
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import verify

pytestmark = pytest.mark.timeout(900)

NODES, SHARING, IMAGES = 2, 2, 24


class PatientAnnotator(FakeAnnotator):
    """Waits until every model is loaded: on a busy machine the first would have done all before the last begins."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self.notes = notes

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> list[FaceAnnotation]:
        end = time.monotonic() + 200
        while len(list(self.notes.iterdir())) < NODES * SHARING:
            if time.monotonic() > end:
                raise TimeoutError("the other models were not loaded")
            time.sleep(0.1)
        return super().annotate(crops, micro_batch)


class GpuSource(FakeSource):
    """Notes by which node and GPU each of its models was loaded, for which device."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def load(self, device: str) -> FakeAnnotator:
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids()["GPU"]
        name = f"{context.get_node_id()} {'+'.join(gpus)} {device} {os.getpid()}"
        (self.notes / name).touch()
        return PatientAnnotator(self.notes)


@pytest.fixture
def nodes() -> Iterator[None]:
    """A head without CPUs, and two nodes with a GPU each; this process is in the cluster."""
    ray.shutdown()  # of the Ray that the tests of this process may share
    modules = (fake_model, sys.modules[__name__])
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=3, num_gpus=1, object_store_memory=STORE_BYTES)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


def test_every_gpu_of_every_node_has_its_models(nodes: None, tmp_path: Path) -> None:
    photos, notes = tmp_path / "photos", tmp_path / "notes"
    photos.mkdir()
    notes.mkdir()
    for k in range(IMAGES):
        grey = np.full((64, 64, 3), 5 + k, np.uint8)
        (photos / f"{k}.png").write_bytes(encoded(Image.fromarray(grey)))
    overrides = ['detector.name="null"', "shards.min_images=2", "shards.max_images=2"]
    overrides += [f"workers.annotate_per_gpu={SHARING}", "workers.detect=1"]
    config = load_config(None, overrides)
    plan = plan_workers(config, 3 * NODES, NODES)
    assert (plan.device, plan.annotate, plan.annotate_gpus) == ("cuda", NODES * SHARING, 0.5)

    summary = annotate(str(photos), str(tmp_path / "out"), config, source=GpuSource(notes))
    assert summary.images == IMAGES and not summary.errors
    storage = Storage(str(tmp_path / "out"))
    assert verify(storage, str(existing_run(storage)["fingerprint"])).line.startswith(f"OK: {IMAGES} images")
    loaded = [note.name.split() for note in notes.iterdir()]
    assert {device for _, _, device, _ in loaded} == {"cuda"}
    places = [(node, gpu) for node, gpu, _, _ in loaded]
    assert len(set(places)) == NODES, "a GPU without a model"
    assert all(places.count(place) == SHARING for place in set(places)), "models do not share alike"
    assert len({pid for *_, pid in loaded}) == NODES * SHARING, (
        "a model was loaded more than once in a worker"
    )
