"""The sample photos: free, each with its origin, and with the faces that a person sees in them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors import create_detector
from pipeline.errors import UsageError
from pipeline.sources import samples
from pipeline.sources.samples import LIST, SAMPLES, Sample, collect

# By eye.
FACES = {
    "portrait-spacesuit.png": 1,
    "cap-and-glasses.jpg": 1,
    "photographer.png": 1,
    "contact-sheet.jpg": 3,
    "cut-by-the-edge.jpg": 1,
    "stored-sideways.jpg": 1,
    "thumbnail.jpg": 1,
    "coffee.png": 0,
}
MISSING = Sample("none.png", "no_such_package_at_all", "none.png", "nowhere", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    assert collect(folder) == list(SAMPLES)
    return folder


def test_every_photo_is_free_and_listed(folder: Path) -> None:
    rows = list(csv.DictReader((folder / LIST).read_text("utf-8").splitlines()))
    assert {row["file"] for row in rows} == set(FACES)
    assert {path.name for path in folder.iterdir()} == {*FACES, LIST}
    assert {part for row in rows for part in row["licence"].split("; ")} == {"public domain", "CC0"}
    assert all(row["origin"] for row in rows)


def test_one_photo_is_without_a_face_and_the_rest_have_theirs_found(folder: Path) -> None:
    detector = create_detector(DetectorConfig())
    found = {}
    for name in FACES:
        with Image.open(folder / name) as photo:
            upright = np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
        found[name] = len(detector.detect(upright))
    assert [name for name, faces in FACES.items() if faces == 0] == ["coffee.png"]
    assert found == FACES


def test_one_photo_is_stored_sideways_as_phones_do(folder: Path) -> None:
    stored = Image.open(folder / "stored-sideways.jpg")
    upright = ImageOps.exif_transpose(stored)
    assert (stored.size, upright.size) == ((340, 300), (300, 340))


def test_the_contact_sheet_shows_the_photos_that_its_origin_names(folder: Path) -> None:
    sheet = Image.open(folder / "contact-sheet.jpg")
    for name, part, left in (
        ("portrait-spacesuit.png", (100, 0, 340, 300), 12),
        ("photographer.png", (100, 50, 300, 300), 312),
        ("cap-and-glasses.jpg", (110, 0, 430, 400), 612),
    ):
        photo = (
            Image.open(folder / name).convert("RGB").crop(part).resize((288, 360), Image.Resampling.LANCZOS)
        )
        panel = sheet.crop((left, 12, left + 288, 372))
        assert np.asarray(ImageChops.difference(panel, photo)).mean() < 3, name


def test_photos_that_are_there_are_not_written_again(folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    collect(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_no_package_carries_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = SAMPLES[1]
    monkeypatch.setattr(samples, "SAMPLES", (MISSING, there))
    assert collect(tmp_path) == [there]
    assert MISSING.name not in (tmp_path / LIST).read_text("utf-8")
    monkeypatch.setattr(samples, "SAMPLES", (MISSING,))
    with pytest.raises(UsageError, match="no sample photo found"):
        collect(tmp_path)
