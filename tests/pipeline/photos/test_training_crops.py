"""Photos without labels become wide crops to learn from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_model import FakeAnnotator, FakeSource
from manifests import add_shards

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import load_config
from pipeline.detect.stage import DetectAndCrop, gathered
from pipeline.errors import UsageError
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import existing_run, write_record
from pipeline.photos.training_crops import cut_photos
from pipeline.run.setup import new_record, set_up
from pipeline.shards.manifest import ShardLoader
from pipeline.sources import Listing
from pipeline.sources.samples import collect
from pipeline.storage.locations import local_path
from pipeline.storage.store import Storage

SIZE = 112


def test_every_face_large_enough_is_cut_wider(tmp_path: Path) -> None:
    collect(tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    crops = cut_photos([str(tmp_path / "photos")], load_config(None, ["detector.name=dlib"]), SIZE)
    assert crops.size == SIZE and 5 <= len(crops) <= 10
    assert all(float(np.std(image)) > 10 for image in crops.images)


def annotate(photos: Path, output: Path, overrides: list[str]) -> Storage:
    """A run without Ray: what the stages do, one after the other."""
    config, source, storage = load_config(None, overrides), FakeSource(), Storage(str(output))
    write_record(storage, new_record(set_up(config, source)))
    fingerprint = str(existing_run(storage)["fingerprint"])
    entries = [entry for chunk in Listing(str(photos)) for entry in chunk]
    detect = DetectAndCrop(config, source.crop_size)
    after = add_shards(storage, entries, len(entries))
    for task in map(ShardLoader(storage), after.shards):
        found = gathered(task.shard, detect.each(task), source.crop_size)
        commit_shard(storage, AnnotateFaces(config, FakeAnnotator(), fingerprint)(found), fingerprint)
    return storage


def test_the_faces_of_an_output_are_those_of_its_photos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collect(tmp_path / "photos")
    overrides = ["detector.name=dlib", "output.meshes=false"]
    storage = annotate(tmp_path / "photos", tmp_path / "out", overrides)
    searched = cut_photos([str(tmp_path / "photos")], load_config(None, overrides), SIZE)
    # A detector that could not work is not asked.
    other = load_config(None, ["detector.name=insightface", "detector.model=/no/such.onnx"])
    read = cut_photos([str(tmp_path / "out")], other, SIZE)
    assert len(read) == len(searched) > 4
    difference = np.abs(read.images.astype(int) - searched.images).mean((1, 2, 3))
    assert difference.max() < 1.0, "another picture than the detector's own"

    faces = pq.read_table(tmp_path / "out" / "faces")
    best = max(faces["quality"].to_pylist())
    with pytest.raises(UsageError, match="no face to learn from"):
        cut_photos([str(tmp_path / "out")], other, SIZE, quality=best + 0.01)

    gone = next(row for row in faces.to_pylist() if row["face_px"] >= 48)
    Path(local_path(gone["uri"])).unlink()
    caplog.set_level("INFO", "facegpt")
    left = cut_photos([str(tmp_path / "out")], other, SIZE)
    assert len(left) < len(read) and "(1 cannot be read)" in caplog.text
    record = existing_run(storage)
    record["config"]["detector"]["name"] = "null"
    write_record(storage, record)
    with pytest.raises(UsageError, match="output of a dry run"):
        cut_photos([str(tmp_path / "out")], other, SIZE)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    config = load_config(None, ["detector.name=dlib"])
    with pytest.raises(UsageError, match="no face to learn from in 1 images"):
        cut_photos([str(tmp_path)], config, SIZE)
    with pytest.raises(UsageError, match="there is no file or folder"):
        cut_photos([str(tmp_path / "nowhere")], config, SIZE)
    other = load_config(None, ["detector.name=insightface", "detector.model=/no/such.onnx"])
    with pytest.raises(UsageError, match=r"/no/such\.onnx"):
        cut_photos([str(tmp_path)], other, SIZE)
