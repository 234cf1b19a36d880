"""Outputs that are mended and thinned out between runs, on Ray, with a stand-in for the model."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from fake_model import FakeSource
from images import encoded
from photo_files import collect_photos
from PIL import Image

import pipeline.run.setup
from jobs.cli import main
from pipeline.config import load_config
from pipeline.run.annotate import annotate
from pipeline.shards.tombstones import REASON

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]

SMALL_SHARDS = ["shards.min_images=2", "shards.max_images=2", "workers.detect=1", "workers.annotate=1"]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.run.setup, "CheckpointSource", lambda *names: FakeSource())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A group, a photo that is not there yet, one without a face, a text, and a close-up, in this order."""
    everything, folder = tmp_path / "all", tmp_path / "photos"
    collect_photos(everything)
    folder.mkdir()
    (folder / "a-group.jpg").write_bytes((everything / "group.jpg").read_bytes())
    (folder / "b-late.png").symlink_to(tmp_path / "late.png")
    (folder / "c-black.png").write_bytes(encoded(Image.new("RGB", (64, 64))))
    (folder / "d-text.jpg").write_bytes(b"no image at all")
    (folder / "e-close-up.png").write_bytes((everything / "close-up.png").read_bytes())
    return folder


def run(photos: Path, output: Path) -> list[str]:
    said: list[str] = []
    annotate(str(photos), str(output), load_config(None, SMALL_SHARDS), source=FakeSource(), say=said.append)
    return said


def rows(output: Path, table: str) -> pandas.DataFrame:
    frame = pandas.read_parquet(output / table)
    return frame.assign(name=frame["uri"].str.rsplit("/", n=1).str[-1]).set_index("name")


def test_what_failed_is_done_again_and_the_rest_stays(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    run(photos, output)
    images, faces = rows(output, "images"), rows(output, "faces")
    files = {path: path.read_bytes() for path in output.rglob("*.parquet")}
    assert images["status"].value_counts().to_dict() == {"annotated": 2, "failed": 2, "no_face": 1}
    (tmp_path / "late.png").write_bytes((photos / "a-group.jpg").read_bytes())

    assert main(["retry", str(output), "--max-failed", "0.4", "--set", "workers.detect=1"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 failed images in 2 shards to do again; model on cpu"
    assert said[-1].startswith("2 images (1 annotated, 1 failed), 6 faces, 6 meshes in ")
    assert main(["verify", str(output)]) == 0
    # The late photo is a copy of the group: its faces have the same ids, and share their meshes.
    assert capsys.readouterr().out == "OK: 5 images, 13 faces, 7 meshes\n"
    after, found = rows(output, "images"), rows(output, "faces")
    assert list(after.index) == list(images.index)
    assert after.loc["b-late.png", ["status", "stage", "n_faces"]].tolist() == ["annotated", "annotate", 6]
    # pandas reads columns with and without nulls as different types of numbers.
    pandas.testing.assert_frame_equal(after.drop("b-late.png"), images.drop("b-late.png"), check_dtype=False)
    pandas.testing.assert_frame_equal(found.drop("b-late.png"), faces)
    changed = {path.name for path, data in files.items() if path.read_bytes() != data}
    assert changed == {"0000-000000.parquet"}
    assert list((output / ".journal").iterdir()) == []
    assert [one["input"] for one in json.loads((output / "run.json").read_text())["invocations"]] == [
        str(photos),
        "retry: failed images",
    ]


def test_what_was_forgotten_does_not_come_back(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    run(photos, output)
    images = rows(output, "images")
    image_id = images.loc["e-close-up.png", "image_id"]
    assert main(["forget", str(output), image_id]) == 0
    assert capsys.readouterr().out == f"forgot 1 images: 1 rows and 1 faces in 1 shards of {output}\n"
    assert run(photos, output)[-2:] == [
        f"5 images in {photos}; 1 forgotten ones stay out",
        f"nothing to do: all 4 images in {output} are committed",
    ]
    (photos / "f-copy.png").write_bytes((photos / "e-close-up.png").read_bytes())
    run(photos, output)
    after = rows(output, "images")
    assert list(after.index) == [*images.index[:4], "f-copy.png"]
    assert after.loc["f-copy.png", ["status", "reason", "n_faces"]].tolist() == ["rejected", REASON, 0]
    assert pandas.isna(after.loc["f-copy.png", "image_id"])
    assert image_id not in set(after["image_id"]) | set(rows(output, "faces")["image_id"])
    capsys.readouterr()
    assert main(["verify", str(output)]) == 0
    assert capsys.readouterr().out == "OK: 5 images, 6 faces, 6 meshes\n"
    assert main(["status", str(output)]) == 0
    assert "forgotten 1\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["forget", str(output)])
    assert main(["forget", str(output), "0" * 32]) == 2
