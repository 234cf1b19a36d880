"""A whole run on Ray with the detector and the model that come with facegpt: resumed, extended, with failures.

More runs are in tests/integration.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from images import encoded
from PIL import Image
from whole_runs import SMALL_SHARDS, checked, five_images, run

from facegpt.language.captions import parse
from pipeline.config import load_config

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]


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
