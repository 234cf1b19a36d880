from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import encoded
from listing import listed
from PIL import Image

from facegpt.photo.crop import to_image
from facegpt.photo.decode import image_id_of
from pipeline.config import RunConfig, load_config
from pipeline.detect.stage import DetectAndCrop
from pipeline.shards.shard import ShardTask
from pipeline.shards.tombstones import REASON
from pipeline.storage.locations import Entry

CROP = 112


@pytest.fixture(scope="module")
def stage() -> DetectAndCrop:
    return DetectAndCrop(RunConfig(), CROP)


def task_of(folder: Path) -> ShardTask:
    return ShardTask("0000-000000", tuple(listed(folder)))


def test_every_image_has_one_record_whatever_it_is(
    stage: DetectAndCrop, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "1-face.png").write_bytes((photos / "portrait-spacesuit.png").read_bytes())
    (tmp_path / "2-none.png").write_bytes((photos / "coffee.png").read_bytes())
    (tmp_path / "3-text.jpg").write_bytes(b"I am a text")
    (tmp_path / "4-empty.jpg").write_bytes(b"")
    (tmp_path / "5-small.png").write_bytes(encoded(Image.new("RGB", (20, 50))))
    (tmp_path / "6-gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "7-folder.png").mkdir()
    (tmp_path / "7-folder.png" / "8-group.jpg").write_bytes((photos / "group.jpg").read_bytes())
    shard = stage(task_of(tmp_path))
    told = [(Path(r.uri).name, r.status, r.stage, r.n_faces) for r in shard.images]
    assert told == [
        ("1-face.png", "annotated", "detect", 1),
        ("2-none.png", "no_face", "detect", 0),
        ("3-text.jpg", "failed", "decode", 0),
        ("4-empty.jpg", "failed", "decode", 0),
        ("5-small.png", "rejected", "decode", 0),
        ("6-gone.png", "failed", "fetch", 0),
        ("8-group.jpg", "annotated", "detect", 6),
    ]
    reasons = [record.reason for record in shard.images]
    assert reasons[0] is reasons[1] is None
    assert reasons[2:6] == [
        "not an image of a known format (first bytes 49 20 61 6d 20 61 20 74)",
        "the file is empty",
        "20 x 50 px: a side is below 32 px (decode.min_side)",
        "No such file or directory",
    ]
    assert [(r.width, r.height) for r in shard.images[:2]] == [(512, 512), (600, 400)]
    assert (shard.images[4].width, shard.images[4].height) == (20, 50)
    assert shard.images[5].bytes is None
    assert [face.image for face in shard.faces] == [0] + [6] * 6
    assert [face.face_index for face in shard.faces] == [0, *range(6)]
    scores = [face.det_score for face in shard.faces[1:]]
    assert scores == sorted(scores, reverse=True)
    assert shard.crops.shape == (7, CROP, CROP, 3)


def test_crops_hold_the_face(stage: DetectAndCrop, photos: Path) -> None:
    entry = Entry(str(photos / "portrait-spacesuit.png"), None, None)
    shard = stage(ShardTask("s", (entry,)))
    corners = to_image(np.array([[-0.5, -0.5], [CROP - 0.5, CROP - 0.5]]), shard.faces[0].crop_matrix)
    # The pupils of this photo lie at (203, 102) and (247, 102); the training crops have them this high.
    side = corners[1, 0] - corners[0, 0]
    assert (102 - corners[0, 1]) / side == pytest.approx(0.5 - 0.038 / 0.204, abs=0.08)
    assert (225 - corners[0, 0]) / side == pytest.approx(0.5, abs=0.06)
    original = np.asarray(Image.open(photos / "portrait-spacesuit.png").convert("RGB"))
    x, y = to_image(np.array([[60.0, 70.0]]), shard.faces[0].crop_matrix)[0].round().astype(int)
    np.testing.assert_allclose(shard.crops[0, 70, 60].astype(int), original[y, x].astype(int), atol=25)


def test_the_order_is_the_tasks_order_with_many_threads(photos: Path, tmp_path: Path) -> None:
    for index in range(40):
        (tmp_path / f"{index:02}.png").write_bytes(encoded(Image.new("RGB", (40 + index, 40))))
    stage = DetectAndCrop(load_config(None, ["workers.fetch_threads=3", "detector.padded_pass=false"]), CROP)
    assert [record.width for record in stage(task_of(tmp_path)).images] == list(range(40, 80))


def test_a_library_that_throws_costs_one_image(
    stage: DetectAndCrop, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage.finder.detector.detect

    def throws_on_the_cat(rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> object:
        if rgb.shape[:2] == (300, 451):
            raise RuntimeError("out\nof order")
        return real(rgb)

    monkeypatch.setattr(stage.finder.detector, "detect", throws_on_the_cat)
    entries = tuple(Entry(str(photos / name), None, None) for name in ("cat.png", "close-up.png"))
    shard = stage(ShardTask("s", entries))
    assert [record.status for record in shard.images] == ["failed", "annotated"]
    assert shard.images[0].reason == "RuntimeError: out of order"
    assert shard.images[0].stage == "detect"


def test_a_forgotten_image_is_rejected_under_any_name_and_its_id_not_written_down(
    stage: DetectAndCrop, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = (photos / "portrait-spacesuit.png").read_bytes()
    (tmp_path / "1-copy.png").write_bytes(portrait)
    (tmp_path / "2-longer.png").write_bytes(portrait + b"0")
    monkeypatch.setattr(stage, "forgotten", frozenset([image_id_of(portrait)]))
    copy, longer = (shard := stage(task_of(tmp_path))).images
    assert (copy.status, copy.stage, copy.reason, copy.n_faces) == ("rejected", "fetch", REASON, 0)
    assert copy.image_id is None
    assert (longer.status, longer.n_faces, longer.image_id) == (
        "annotated",
        1,
        image_id_of(portrait + b"0"),
    )
    assert [face.image for face in shard.faces] == [1]
