"""The shards of a probe, and probes in processes of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_model import FakeAnnotator, FakeSource
from images import encoded
from PIL import Image
from whole_runs import five_images

from pipeline.config import load_config
from pipeline.errors import NothingRanError
from pipeline.execution import engine
from pipeline.execution.processes import Processes
from pipeline.planning import probe as probe_module
from pipeline.planning.estimate import estimate
from pipeline.planning.measured import STEPS, Measured
from pipeline.planning.probe import _until_enough, cut, probe
from pipeline.planning.sample import Listed, list_sample
from pipeline.run.setup import set_up
from pipeline.shards.shard import ShardOutcome
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

ALONE = ["workers.engine=processes", "workers.annotate=2"]


class BrokenSource(FakeSource):
    """A model that does not load."""

    def load(self, device: str) -> FakeAnnotator:
        raise OSError("its weights are gone")


@pytest.mark.parametrize(("count", "size", "workers"), [(200, 34, 2), (200, 32, 64), (5, 16, 2), (1, 1, 3)])
def test_shards_are_of_a_size_and_workers_do_not_keep_step(count: int, size: int, workers: int) -> None:
    sample = [Entry(str(index), 1, "") for index in range(count)]
    tasks = cut(sample, size, workers, 4 * workers)
    sizes = [len(task.images) for task in tasks]
    assert len(tasks) == len({task.shard for task in tasks}) == 4 * workers
    assert all(len({image.uri for image in task.images}) == len(task.images) > 0 for task in tasks)
    assert max(sizes) <= min(count, max(1.25 * size, 1))
    if size < count:
        assert sum(sizes[workers:]) / (3 * workers) == size
        assert len({*sizes[:workers]}) > 1, "all workers would do the same step at the same time"
    assert {image.uri for task in tasks for image in task.images} == {image.uri for image in sample}


def test_a_probe_ends_when_it_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(probe_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(probe_module, "STEADY_SECONDS", 15.0)

    def taken(images: int, each: int) -> int:
        return len(list(_until_enough(iter([ShardOutcome("s", images=each)] * 50), 2, images)))

    # The clock starts at the second shard, and goes on by 5 s at each later one.
    assert taken(10**6, 33) == 6
    assert taken(100, 33) == 6, "three shards for each of two workers, however few images there are"
    monkeypatch.setattr(probe_module, "STEADY_SECONDS", 10**9)
    assert taken(10**6, 33) == 50
    assert taken(330, 33) == 10


def measure(photos: Path, probed: Path, *overrides: str, source: FakeSource | None = None) -> Measured:
    listed = list_sample(str(photos), None, 200, all_of_it=True)
    setup = set_up(load_config(None, [*ALONE, *overrides]), source or FakeSource())
    with Processes() as processes:
        return probe(
            setup,
            listed.sample,
            Storage(str(probed)),
            processes,
            images=listed.images,
            todo=listed.images,
            before=0.5,
        )


def test_a_probe_measures_every_step_of_a_run(tmp_path: Path) -> None:
    photos = five_images(tmp_path)
    found = measure(photos, tmp_path / "probe")
    assert (found.engine, found.plan.annotate, found.micro_batch) == ("processes", 2, 32)
    assert found.failed > 0 and found.faces_per_image > 1
    assert set(found.steps) == set(STEPS)
    assert found.steps["detect"].per_image > 0.001
    assert 0 < found.steps["annotate"].per_face < 1
    assert {"detect.fetch", "detect.decode", "detect.find", "annotate.model", "annotate.rows"} < set(
        found.parts
    )
    assert found.start_seconds > 0.5 and found.end_seconds >= 0
    assert found.memory.child > 50e6 and found.memory.by_step["annotate"] > 50e6
    assert found.output.per_face > 100 and found.output.meshes_per_face == pytest.approx(1, abs=0.2)
    assert found.output.per_mesh > 500
    assert measure(photos, tmp_path / "bare", "output.meshes=false").output.per_mesh == 0


def test_a_probe_of_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(NothingRanError, match=r"no shard of the probe came through: .*its weights are gone"):
        measure(five_images(tmp_path), tmp_path / "probe", source=BrokenSource())


def test_images_without_a_face_can_be_planned_for(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        (photos / f"{index}.png").write_bytes(encoded(Image.new("RGB", (64, 64), (index, 0, 0))))
    found = measure(photos, tmp_path / "probe")
    assert (found.faces, found.failed) == (0, 0)
    one = estimate(found, Listed(4, 0.0, True, ()), 1000, load_config(None, []))
    assert (one.seconds or 0) > 0 and one.faces == 0


def test_the_engine_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    config = load_config(None, ["model.device=cpu"])
    assert engine.fits_here(config, 100) and not engine.fits_here(config, 10**6)
