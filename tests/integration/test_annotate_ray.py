"""Whole runs on Ray, with a stand-in for the model: from files to verified tables, resumed, extended, with failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_model
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_model import FakeSource
from images import encoded
from PIL import Image
from small_ray import small_ray
from tars import write_tar

from facegpt.photo.decode import image_id_of
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.execution import graph
from pipeline.output.run_json import existing_run
from pipeline.photos.reread import entries_of, open_photo
from pipeline.run import annotate as run_module
from pipeline.run.annotate import annotate
from pipeline.run.work import RunSummary
from pipeline.shards import feed as feed_module
from pipeline.sources import Listing
from pipeline.sources.samples import collect
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import Verdict, verify

pytestmark = pytest.mark.timeout(900)

SMALL_SHARDS = ["shards.min_images=2", "shards.max_images=2", "workers.detect=1", "workers.annotate=1"]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all runs of this file; workers get the stand-in by value, since they do not have the tests' path."""
    with small_ray(fake_model):
        yield


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


def test_tars_and_parquet_files_are_read_to_the_last_whole_image(photos: Path, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    names = ["deep/group.jpg", "deep/close-up.png", "deep/cat.png", "black.png", "text.jpg"]
    members = [(name, (photos / name).read_bytes()) for name in names]
    captions = [("deep/cat.txt", b"a cat"), ("black.json", b'{"caption": "nothing to see"}')]
    whole = write_tar(box / "a.tar", sorted(members[:2] + members[3:] + captions[1:]))
    cut = write_tar(box / "b.tar", [members[2], captions[0], members[0]])
    cut.write_bytes(cut.read_bytes()[:-30_000])
    table = pa.table({"image": [data for _, data in members[:2]] + [None], "text": ["a group", None, "null"]})
    pq.write_table(table, box / "c.parquet", row_group_size=2)
    output = tmp_path / "out"
    summary, said = run(box, output)
    assert summary.errors == {}
    assert dict(summary.statuses) == {"annotated": 4, "no_face": 2, "failed": 3}
    assert any("9 images in" in line for line in said)
    assert checked(output).problems == []
    images = pandas.read_parquet(output / "images").set_index("uri")
    for name, data in members:
        assert images.loc[f"{cut if 'cat' in name else whole}!/{name}", "image_id"] == image_id_of(data), name
    assert images["source_caption"].dropna().to_dict() == {
        f"{cut}!/deep/cat.png": "a cat",
        f"{whole}!/black.png": "nothing to see",
        f"{box / 'c.parquet'}!/0": "a group",
    }
    damaged = images.loc[f"{cut}!/deep/group.jpg"]
    assert (damaged["status"], damaged["stage"]) == ("failed", "fetch")
    assert damaged["reason"].startswith("the tar is damaged at byte")
    faces = pandas.read_parquet(output / "faces")
    assert (len(faces), faces["face_id"].nunique()) == (14, 7)
    rows = faces.to_dict("records")
    entries = entries_of(Storage(str(output)), rows)
    for row in rows:
        photo, note = open_photo(row, RunConfig().decode, entries[row["shard"], row["uri"]])
        assert (photo is not None, note) == (True, "")

    assert run(box, output)[1][-1].startswith("nothing to do: all 9 images")
    write_tar(box / "d.tar", members[3:4])
    summary, _ = run(box, output)
    assert (summary.shards, summary.images) == (1, 1)


def test_waves_of_shards_are_executed_while_the_listing_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[int] = []
    gate = threading.Event()
    original, walk = graph.execute, Listing.__iter__

    def execute(refs: Any, *rest: Any, **flags: Any) -> Iterator[Any]:
        yield from original(refs, *rest, **flags)
        executed.append(len(refs))
        gate.set()

    def slowly(listing: Listing) -> Iterator[list[Entry]]:
        images = [entry for chunk in walk(listing) for entry in chunk]
        yield images[:4]
        gate.wait()
        yield images[4:]

    monkeypatch.setattr(graph, "execute", execute)
    monkeypatch.setattr(Listing, "__iter__", slowly)
    monkeypatch.setattr(run_module, "SHARDS_PER_WORKER", 1)
    monkeypatch.setattr(feed_module, "SETTLE_SECONDS", 0.0)
    output = tmp_path / "out"
    summary, said = run(photos, output)
    assert executed == [2, 1]
    assert any("so far; listing goes on beside the work" in line for line in said)
    assert (summary.shards, summary.committed, summary.images) == (3, 3, 5)
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"
