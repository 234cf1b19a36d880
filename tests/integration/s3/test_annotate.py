"""The whole path from photos to tables on a real S3 server, by the commands that a person types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from photo_files import collect_photos

from pipeline.sources.samples import LIST
from pipeline.storage.locations import s3
from pipeline.storage.store import Storage

pytestmark = pytest.mark.timeout(900)

PHOTOS = ("portrait-spacesuit.png", "group.jpg", "coffee.png")
OF_THE_PLACE = ["uri", "shard"]


def _facegpt(*arguments: str, **environment: str) -> str:
    """What `facegpt ARGUMENTS` prints; the test fails unless it ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    collect_photos(folder)
    for path in folder.iterdir():
        if path.name not in PHOTOS:
            path.unlink()
    (folder / "cut-off.jpg").write_bytes((folder / "group.jpg").read_bytes()[:5000])
    assert not (folder / LIST).exists()
    return folder


def _table(output: str, name: str) -> pd.DataFrame:
    frame = pd.read_parquet(f"{output}/{name}")
    frame["name"] = frame["uri"].str.rsplit("/", n=1).str[-1]
    keys = ["name", "face_index"] if "face_index" in frame else ["name"]
    return frame.sort_values(keys, ignore_index=True).drop(columns=OF_THE_PLACE)


def test_s3_gives_what_a_folder_gives(
    photos: Path, tmp_path: Path, bucket: str, s3_environment: dict[str, str]
) -> None:
    place = Storage(f"s3://{bucket}/photos")
    for path in photos.iterdir():
        place.write(path.name, path.read_bytes())
    here, there = str(tmp_path / "faces"), f"s3://{bucket}/run/faces"
    _facegpt("annotate", str(photos), here)
    _facegpt("annotate", f"s3://{bucket}/photos", there, **s3_environment)

    local, remote = _table(here, "images"), _table(there, "images")
    pd.testing.assert_frame_equal(local, remote)
    assert dict(zip(remote["name"], remote["status"], strict=True)) == {
        "coffee.png": "no_face",
        "cut-off.jpg": "failed",
        "group.jpg": "annotated",
        "portrait-spacesuit.png": "annotated",
    }
    local, remote = _table(here, "faces"), _table(there, "faces")
    assert len(remote) >= 4
    assert remote["face_id"].is_unique
    for column in local:
        if isinstance(local[column][0], np.ndarray):
            np.testing.assert_allclose(np.stack(local[column]), np.stack(remote[column]), atol=1e-3)
        elif local[column].dtype.kind == "f":
            np.testing.assert_allclose(local[column], remote[column], rtol=1e-3, atol=1e-3)
        else:
            assert local[column].tolist() == remote[column].tolist(), column

    before = {name: info["LastModified"] for name, info in s3().find(bucket, detail=True).items()}
    assert "nothing to do" in _facegpt("annotate", f"s3://{bucket}/photos", there, **s3_environment)
    after = {name: info["LastModified"] for name, info in s3().find(bucket, detail=True).items()}
    assert after == before

    _facegpt("verify", there, **s3_environment)
    assert f"{there}/report/index.html" in _facegpt("report", there, **s3_environment)
    page = Storage(there).read("report/index.html").decode("utf-8")
    assert f"{len(remote)} faces in 4 photos" in page
    assert page.count("<img ") == 4 * len(remote)
