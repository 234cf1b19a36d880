"""`facegpt ask` and `facegpt imagine` with the bundled checkpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from images import encoded
from PIL import Image

from facegpt.morphable import bundled
from jobs.cli import main
from pipeline.sources.samples import collect

PHOTO = "portrait-spacesuit.png"
Said = pytest.CaptureFixture[str]


def complaint(capsys: Said) -> str:
    said = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in said if line.startswith("facegpt: ")]
    assert len(lines) == 1 and "Traceback" not in " ".join(said)
    return lines[0]


def test_a_question_is_answered_for_every_face(tmp_path: Path, capsys: Said) -> None:
    collect(tmp_path)
    assert main(["ask", str(tmp_path / PHOTO), "Is the mouth open?"]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"face 1 at \d+,\d+ to \d+,\d+: (Yes|No)\.\n", said.out), said.out
    assert not said.err, "a load of a moment needs no progress bar"


def test_what_cannot_be_asked_is_one_line(tmp_path: Path, capsys: Said) -> None:
    plain, broken = tmp_path / "plain.png", tmp_path / "broken.jpg"
    plain.write_bytes(encoded(Image.new("RGB", (200, 200), "gray")))
    broken.write_bytes(b"\xff\xd8 no picture")
    assert main(["ask", str(plain), "is the mouth open"]) == 3
    assert "no face was found" in complaint(capsys)
    assert main(["ask", str(broken), "is the mouth open"]) == 2
    assert "is no photo that can be read" in complaint(capsys)
    assert main(["ask", str(tmp_path / "none.jpg"), "is the mouth open"]) == 2
    assert "cannot read" in complaint(capsys)
    assert main(["ask", str(plain), " ? "]) == 2
    assert "QUESTION is empty" in complaint(capsys)


def test_words_become_meshes_and_the_same_ones_again(tmp_path: Path) -> None:
    text, folders = "broad smile, looking left", [tmp_path / "one", tmp_path / "two" / "deeper"]
    for folder in folders:
        assert main(["imagine", text, str(folder), "--count", "3", "--seed", "5"]) == 0
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second
    names = [f"face-000{seed}" for seed in (5, 6, 7)]
    assert set(first) == {"faces.png", *(f"{name}.{kind}" for name in names for kind in ("glb", "json"))}
    head = trimesh.load(folders[0] / "face-0005.glb", force="mesh")
    assert len(head.vertices) == bundled().n_vertices and head.visual.vertex_colors.std() > 1
    rows = [json.loads(first[f"{name}.json"]) for name in names]
    assert all(row["description"] == text and row["face_model_sha256"] == bundled().sha256 for row in rows)
    assert np.abs(np.subtract(rows[0]["shape"], rows[1]["shape"])).max() > 0.05
    with Image.open(folders[0] / "faces.png") as picture:
        assert np.asarray(picture).std() > 5


def test_what_cannot_be_imagined_is_one_line(tmp_path: Path, capsys: Said) -> None:
    for more in (["--count", "0"], ["--seed", "-1"], ["--temperature", "-1"]):
        assert main(["imagine", "a face", str(tmp_path / "out"), *more]) == 2
        assert "--count is at least 1" in complaint(capsys)
    assert main(["imagine", "  ", str(tmp_path / "out")]) == 2
    assert "an empty description" in complaint(capsys)
    (tmp_path / "file").touch()
    assert main(["imagine", "a face", str(tmp_path / "file" / "out")]) == 2
    assert "cannot write to" in complaint(capsys)
    assert main(["imagine", "a face", str(tmp_path / "out"), "--model", str(tmp_path)]) == 2
    assert str(tmp_path) in complaint(capsys)
