"""Whole runs on Ray with a stand-in for the model: failed, refused, replaced, on S3."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest
from mock_s3 import connect, disconnect
from s3_secrets import environment
from whole_runs import checked, five_images, run

from pipeline.errors import UsageError
from pipeline.storage.locations import s3
from pipeline.storage.store import Storage

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by all runs of this file."""
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
