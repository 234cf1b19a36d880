"""`facegpt learn-albedo`: photos in, a face model and a checkpoint to train on out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import load
from facegpt.morphable import FaceModel, bundled
from jobs.cli import main
from pipeline.sources.samples import collect
from tests.jobs.test_evaluate import PHOTO


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One face three times, one of them darker, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    collect(folder / "samples")
    original = Image.open(folder / "samples" / PHOTO).convert("RGB")
    shutil.rmtree(folder / "samples")
    for number, brightness in enumerate((1.0, 0.8, 0.6)):
        original.point(lambda value, by=brightness: round(value * by)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.mark.slow
def test_what_is_learned_can_be_annotated_and_trained_with(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest, start = tmp_path / "own.safetensors", tmp_path / "start"
    command = [
        "learn-albedo",
        str(photos),
        str(dest),
        "--modes",
        "2",
        "--id",
        "own/1",
        "--checkpoint",
        str(start),
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "own/1, 78 albedo modes of" in said and "2 learned from 3 faces" in said
    own = FaceModel.load(dest)
    assert (own.id, own.n_albedo) == ("own/1", 80) and own.sha256[:12] in said
    annotator = FaceAnnotator(load(str(start)), own)
    side = annotator.crop_size
    crop = np.full((1, side, side, 3), 128, np.uint8)
    assert np.isfinite(annotator.annotate(crop)[0].albedo).all()
    assert main(command) == 0 and FaceModel.load(dest).sha256 == own.sha256, (
        "the same photos, the same face model"
    )


def test_what_cannot_be_learned_is_one_clear_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = str(tmp_path / "own.safetensors")

    def complaint(*arguments: str) -> str:
        assert main(["learn-albedo", *arguments]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "must end in .safetensors" in complaint(str(photos), str(tmp_path / "own.bin"))
    assert "--modes 81: 1 to 80 take the place" in complaint(str(photos), dest, "--modes", "81")
    assert "7 modes want as many faces at least, and there are 3" in complaint(
        str(photos), dest, "--modes", "7"
    )
    assert "missing" in complaint(str(tmp_path / "missing"), dest)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "empty" / "black.png")
    assert "no face to learn from in 1 images" in complaint(str(tmp_path / "empty"), dest)
    assert "cannot write" in complaint(
        str(photos), str(tmp_path / "no" / "folder.safetensors"), "--modes", "2"
    )
    assert not list(tmp_path.glob("*.safetensors")) and bundled().n_albedo == 80
