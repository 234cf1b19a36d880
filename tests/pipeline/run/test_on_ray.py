"""Whole runs on Ray: from files to verified tables, resumed, extended, with failures.

The first with the detector and the model that come with facegpt, the others with a stand-in for the model. More of them
are in tests/integration.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from images import encoded
from mock_s3 import connect, disconnect
from PIL import Image
from s3_secrets import environment
from whole_runs import SMALL_SHARDS, checked, five_images, run

from facegpt.language.captions import parse
from pipeline.config import load_config
from pipeline.errors import UsageError
from pipeline.storage.locations import s3
from pipeline.storage.store import Storage

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by all runs of this file but the first, which has photos of its own to change."""
    return five_images(tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that asks for it leaves the output of an undisturbed run, for the others to copy."""
    return tmp_path_factory.mktemp("annotated") / "out"


@pytest.fixture
def output(photos: Path, annotated: Path, tmp_path: Path, small_ray: None) -> Path:
    """A copy of an undisturbed run's output."""
    if not annotated.exists():
        run(photos, annotated)
    return shutil.copytree(annotated, tmp_path / "out")


def test_a_run_is_whole_and_the_next_one_adds_only_what_is_new(tmp_path: Path) -> None:
    photos, output = five_images(tmp_path), tmp_path / "out"
    summary, _ = run(photos, output, source=None)
    assert (summary.shards, summary.committed, summary.errors) == (3, 3, {})
    assert dict(summary.statuses) == {"annotated": 2, "no_face": 2, "failed": 1}
    assert (summary.images, summary.faces, summary.meshes) == (5, 7, 7)
    assert summary.failed_share == 0.2
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"
    record = json.loads((output / "run.json").read_text())
    assert record["invocations"][0]["images"] == 5
    assert record["config"] == load_config(None, SMALL_SHARDS).model_dump(mode="json")
    for face in pandas.read_parquet(output / "faces").to_dict("records"):
        left, top, right, bottom = face["box_xyxy"]
        points = face["landmarks68"].reshape(68, 2)
        inside = (points > [left, top]) & (points < [right, bottom])
        assert inside.all(1).mean() > 0.5, "the model has put its points somewhere else"
        assert face["caption_status"] == "ok" and parse(face["caption"])
        assert np.isfinite(face["photometric_psnr"])

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    summary, said = run(photos, output, source=None)
    assert summary.shards == 0
    assert said[-1].startswith("nothing to do: all 5 images")

    (photos / "new.png").write_bytes((photos / "deep" / "close-up.png").read_bytes())
    (photos / "black.png").write_bytes(encoded(Image.new("RGB", (70, 70))))
    summary, _ = run(photos, output, source=None)
    assert (summary.shards, summary.images, summary.faces) == (1, 2, 1)
    assert checked(output).line == "OK: 7 images, 8 faces, 8 meshes"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    images = pandas.read_parquet(output / "images")
    assert images["uri"].value_counts()[str(photos / "black.png")] == 2
    faces = pandas.read_parquet(output / "faces")
    assert faces["face_id"].nunique() == 7


def test_a_stage_that_cannot_work_leaves_its_shard_uncommitted_with_a_reason(
    photos: Path, output: Path
) -> None:
    """And the next run does this shard again, and no other."""
    shard = "0000-000001"
    (output / "commits" / f"{shard}.json").unlink()
    # A folder where the shard's table wants to be: the commit fails as it would on a full disk.
    table = output / "images" / f"{shard}.parquet"
    table.unlink()
    table.mkdir()
    summary, _ = run(photos, output)
    assert (summary.shards, summary.committed) == (1, 0)
    assert list(summary.errors) == [shard]
    assert summary.errors[shard].startswith("commit: IsADirectoryError")
    assert not (output / "commits" / f"{shard}.json").exists()
    table.rmdir()
    summary, said = run(photos, output)
    assert (summary.shards, summary.committed, summary.images, summary.errors) == (1, 1, 2, {})
    assert "2 shards are committed already" in said[-1]
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"


def test_other_settings_are_refused_until_replace(photos: Path, output: Path) -> None:
    (output / "report").mkdir()
    (output / "report" / "index.html").write_text("old")
    with pytest.raises(
        UsageError, match=r"the detector, its settings or its weights changed since.*--replace"
    ):
        run(photos, output, "detector.upsample=1")
    with pytest.raises(UsageError, match=r"the configuration \(decode or output\) changed"):
        run(photos, output, "output.meshes=false")
    assert checked(output).line == "OK: 5 images, 7 faces, 7 meshes"
    summary, _ = run(photos, output, "output.meshes=false", replace=True)
    assert (summary.images, summary.faces, summary.meshes) == (5, 7, 0)
    assert checked(output).line == "OK: 5 images, 7 faces, 0 meshes"
    assert not (output / "report" / "index.html").exists()


def test_s3_gives_what_a_folder_gives(
    photos: Path, output: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(environment(s3_endpoint), monkeypatch)
    try:
        s3().mkdir("whole")
        for path in photos.rglob("*.*"):
            Storage("s3://whole/photos").write(str(path.relative_to(photos)), path.read_bytes())
        there = "s3://whole/run/out"
        summary, _ = run("s3://whole/photos", there)
        assert (summary.committed, summary.errors) == (3, {})
        assert checked(there).line == "OK: 5 images, 7 faces, 7 meshes"
        for name, keys in (("images", ["uri"]), ("faces", ["uri", "face_index"])):
            here, remote = (pandas.read_parquet(f"{place}/{name}") for place in (output, there))
            here["uri"] = here["uri"].str.replace(str(photos), "s3://whole/photos", regex=False)
            order = [table.sort_values(keys, ignore_index=True) for table in (here, remote)]
            pandas.testing.assert_frame_equal(*(table.drop(columns="shard") for table in order))
        assert run("s3://whole/photos", there)[1][-1].startswith("nothing to do: all 5 images")
    finally:
        disconnect()
