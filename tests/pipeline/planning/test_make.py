"""Plans from input to plan.json: the probe leaves nothing behind, here and on S3; a run begins beside its plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_model import FakeAnnotator, FakeSource
from whole_runs import checked, five_images

from pipeline.config import load_config
from pipeline.errors import NothingRanError, UsageError
from pipeline.output.plan_json import read_plan
from pipeline.output.run_json import existing_run
from pipeline.planning.make import RunPlan, make_plan
from pipeline.run.annotate import annotate
from pipeline.storage.store import Storage
from pipeline.upkeep.against_plan import compare
from pipeline.upkeep.status import read_status

CONFIG = load_config(None, ["workers.engine=processes", "workers.annotate=2"])


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


class BrokenSource(FakeSource):
    """A model that does not load."""

    def load(self, device: str) -> FakeAnnotator:
        raise OSError("its weights are gone")


def plan(photos: Path | str, output: Path | str | None, images: int | None = None) -> RunPlan:
    return make_plan(
        str(photos),
        CONFIG,
        output=None if output is None else str(output),
        images=images,
        source=FakeSource(),
        say=str,
    )


def test_a_run_begins_beside_its_plan_and_is_compared_with_it(tmp_path: Path) -> None:
    photos, output = five_images(tmp_path), tmp_path / "out"
    made = plan(photos, output)
    assert [path.name for path in output.iterdir()] == ["plan.json"]
    kept = read_plan(Storage(str(output)))
    assert (
        kept is not None
        and kept["images"] == 5
        and kept["seconds"] == pytest.approx(made.here.seconds, abs=1)
    )
    assert str(photos) not in json.dumps(kept)
    for replace in (False, True):
        summary = annotate(str(photos), str(output), CONFIG, source=FakeSource(), replace=replace, say=str)
        assert summary.committed == summary.shards > 0
        assert checked(output).problems == []
        assert read_plan(Storage(str(output))) == kept
    storage = Storage(str(output))
    record = existing_run(storage)
    costs = record["invocations"][0]["costs"]
    assert {"detect", "annotate", "commit", "detect.find"} < set(costs["seconds"])
    assert costs["peak_bytes"]["child"] > 50e6
    line = compare(kept, record, read_status(storage))
    assert "5 images in" in line and "times the plan" in line


def test_a_plan_for_more_images_takes_longer_and_its_probe_needs_no_output(tmp_path: Path) -> None:
    photos = five_images(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    small, large = plan(photos, None), plan(photos, None, images=100_000)
    assert sorted(tmp_path.rglob("*")) == before
    assert (large.here.seconds or 0) > 10 * (small.here.seconds or 0)
    assert large.here.shard_images == 1000


def test_what_stops_a_plan_leaves_nothing_in_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, output = five_images(tmp_path), tmp_path / "out"
    output.mkdir()
    with pytest.raises(NothingRanError, match="weights are gone"):
        make_plan(str(photos), CONFIG, output=str(output), source=BrokenSource(), say=str)
    assert list(output.iterdir()) == []
    with pytest.raises(UsageError, match="INPUT and OUTPUT are the same place"):
        plan(photos, photos)
    with pytest.raises(UsageError, match="holds something else"):
        plan(photos / "deep", photos)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match="name it with --output"):
        plan(photos, None)


def test_a_bucket_is_read_and_its_store_is_timed(bucket: str) -> None:
    made = plan(f"s3://{bucket}/in", f"s3://{bucket}/out")
    assert (made.here.images, made.measured.failed > 0) == (3, True)
    storage = Storage(f"s3://{bucket}/out")
    assert storage.keys(hidden=True) == ["plan.json"]
    assert storage.is_empty(), "a run would take it for something else"
    assert read_plan(storage) is not None
