"""Whole runs on Ray, with a stand-in for the model: from files to verified tables, resumed, extended, with failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fake_model
import pandas
import pytest
import ray
from fake_model import FakeSource
from images import encoded
from PIL import Image

from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.run import RunSummary, annotate
from pipeline.run_record import existing_run
from pipeline.samples import collect
from pipeline.storage import Storage
from pipeline.verify import Verdict, verify

SMALL_SHARDS = ["shards.min_images=2", "shards.max_images=2", "workers.detect=1", "workers.annotate=1"]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all runs of this file; workers get the stand-in by value, since they do not have the tests' path."""
    ray.cloudpickle.register_pickle_by_value(fake_model)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=300 * 2**20,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in folders: a group, a close-up, two without faces, and a text."""
    everything, folder = tmp_path / "all", tmp_path / "photos"
    collect(everything)
    (folder / "deep").mkdir(parents=True)
    for name in ("group.jpg", "close-up.png", "cat.png"):
        (folder / "deep" / name).write_bytes((everything / name).read_bytes())
    (folder / "black.png").write_bytes(encoded(Image.new("RGB", (64, 64))))
    (folder / "text.jpg").write_bytes(b"no image at all")
    return folder


def run(photos: Path, output: Path, *overrides: str, **options: bool | int) -> tuple[RunSummary, list[str]]:
    said: list[str] = []
    config = load_config(None, [*SMALL_SHARDS, *overrides])
    summary = annotate(str(photos), str(output), config, source=FakeSource(), say=said.append, **options)  # type: ignore[arg-type]
    return summary, said


def checked(output: Path) -> Verdict:
    storage = Storage(str(output))
    return verify(storage, str(existing_run(storage)["fingerprint"]))


def test_a_run_is_whole_and_the_next_one_adds_only_what_is_new(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    summary, _ = run(photos, output)
    assert (summary.shards, summary.committed, summary.errors) == (3, 3, {})
    assert dict(summary.statuses) == {"annotated": 2, "no_face": 2, "failed": 1}
    assert (summary.images, summary.faces, summary.meshes) == (5, 7, 7)
    assert summary.failed_share == 0.2
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"
    record = json.loads((output / "run.json").read_text())
    assert record["invocations"][0]["images"] == 5
    assert record["config"] == load_config(None, SMALL_SHARDS).model_dump(mode="json")

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    summary, said = run(photos, output)
    assert summary.shards == 0
    assert said[-1].startswith("nothing to do: all 5 images")

    (photos / "new.png").write_bytes((photos / "deep" / "close-up.png").read_bytes())
    (photos / "black.png").write_bytes(encoded(Image.new("RGB", (70, 70))))
    summary, _ = run(photos, output)
    assert (summary.shards, summary.images, summary.faces) == (1, 2, 1)
    assert checked(output).line == "OK: 7 images, 8 faces, 8 meshes"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    images = pandas.read_parquet(output / "images")
    assert images["uri"].value_counts()[str(photos / "black.png")] == 2
    faces = pandas.read_parquet(output / "faces")
    assert faces["face_id"].nunique() == 7


def test_an_uncommitted_shard_is_done_again_and_no_other(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(photos, output)
    (output / "commits" / "0000-000001.json").unlink()
    summary, said = run(photos, output)
    assert (summary.shards, summary.committed, summary.images) == (1, 1, 2)
    assert "2 shards are committed already" in said[-1]
    assert checked(output).problems == []


def test_other_settings_are_refused_until_replace(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(photos, output, limit=1)
    (output / "report").mkdir()
    (output / "report" / "index.html").write_text("old")
    with pytest.raises(
        UsageError, match=r"the detector, its settings or its weights changed since.*--replace"
    ):
        run(photos, output, "detector.upsample=1")
    with pytest.raises(UsageError, match=r"the configuration \(decode or output\) changed"):
        run(photos, output, "output.meshes=false")
    summary, _ = run(photos, output, "output.meshes=false", replace=True)
    assert (summary.images, summary.faces, summary.meshes) == (5, 7, 0)
    assert checked(output).line == "OK: 5 images, 7 faces, 0 meshes"
    assert not (output / "report" / "index.html").exists()


def test_a_stage_that_cannot_work_leaves_its_shards_uncommitted_with_a_reason(
    photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    (output / "faces").parent.mkdir(parents=True)
    run(photos, output, limit=2)
    # A file where the next shard's table wants its folder: the commit fails as it would on a full disk.
    (output / "images" / "0001-000000.parquet").mkdir()
    summary, _ = run(photos, output)
    assert (summary.shards, summary.committed) == (2, 1)
    (shard, reason), *_ = summary.errors.items()
    assert shard == "0001-000000"
    assert reason.startswith("commit: IsADirectoryError")
    assert not (output / "commits" / f"{shard}.json").exists()
    (output / "images" / "0001-000000.parquet").rmdir()
    summary, _ = run(photos, output)
    assert (summary.shards, summary.committed, summary.errors) == (1, 1, {})
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"


def test_every_odd_file_ends_as_one_row_with_the_right_status(shared_dir: Path, tmp_path: Path) -> None:
    odd = shared_dir / "data" / "images_odd"
    listed = {
        str(odd / row["path"]): row for row in map(json.loads, (odd / "files.jsonl").read_text().splitlines())
    }
    summary = annotate(str(odd), str(tmp_path / "out"), RunConfig(), source=FakeSource(), say=str)
    assert summary.errors == {}
    images = pandas.read_parquet(tmp_path / "out" / "images").set_index("uri")
    assert len(images) == len(listed) == 280
    assert set(images.index) == set(listed)
    assert images["reason"].notna().equals(images["status"].isin(["failed", "rejected"]))
    assert (images["reason"].dropna().str.len() < 200).all()
    damaged = "m1-a46ce91d8975a017917156b8824f936e.png"
    for uri, row in listed.items():
        status = images.loc[uri, "status"]
        if row["pillow"] != "ok" or uri.endswith(damaged):
            assert status == "failed", uri
        elif min(row["size"]) < 32:
            assert status == "rejected", uri
        elif row["expected_faces"] == 0:
            assert status == "no_face", uri
        else:
            assert status in ("annotated", "no_face"), uri
    assert checked(tmp_path / "out").problems == []
