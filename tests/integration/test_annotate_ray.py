"""Whole runs on Ray, with a stand-in for the model: odd files, tars and tables, work beside the listing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_model import FakeSource
from tars import write_tar
from whole_runs import checked, five_images, run

from facegpt.photo.decode import image_id_of
from pipeline.config import RunConfig
from pipeline.execution import graph
from pipeline.photos.reread import entries_of, open_photo
from pipeline.run import annotate as run_module
from pipeline.run.annotate import annotate
from pipeline.shards import feed as feed_module
from pipeline.sources import Listing
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return five_images(tmp_path)


DOG = "dlib--examples__faces__dogs.jpg"
"""The one photo of 225 without a face in which the default detector sees one, a dog's, at whatever size it looks."""


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
        elif row["expected_faces"] == 0 and not uri.endswith(DOG):
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
