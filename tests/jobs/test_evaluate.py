"""`facegpt evaluate` on photos with labelled points and on rendered faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.cli import main
from pipeline.config import load_config
from pipeline.labelled import read_labelled
from pipeline.samples import collect

PHOTO = "portrait-spacesuit.png"
# The face of the sample photo, by eye.
LEFT, TOP, RIGHT, BOTTOM = 178.0, 70.0, 270.0, 175.0


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one photo, listed twice: with points on its face, and with points where no face is."""
    folder = tmp_path_factory.mktemp("labelled")
    collect(folder / "people")
    unit = np.random.default_rng(0).random((68, 2))
    unit = (unit - unit.min(0)) / (unit.max(0) - unit.min(0))
    unit[36], unit[45] = (0.2, 0.4), (0.8, 0.4)
    on_face = unit * [RIGHT - LEFT, BOTTOM - TOP] + [LEFT, TOP]
    rows = [
        {"path": f"people/{PHOTO}", "landmarks68": points.tolist()}
        for points in (on_face, unit * 40 + [20, 440])
    ]
    (folder / "faces.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_a_face_is_found_where_its_points_are(labelled: Path) -> None:
    there, elsewhere = read_labelled(str(labelled), load_config(None, []), 112)
    assert there.group == "people" and there.crop is not None and there.crop.shape == (112, 112, 3)
    assert elsewhere.crop is None and elsewhere.crop_matrix is None


def test_figures_are_printed_and_written(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", str(labelled), "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["people"]
    assert figures["faces"] == 2 and figures["found"] == 1
    assert 0 < figures["nme_percent"] < 100
    assert "nme_percent" in capsys.readouterr().out


def test_rendered_faces_need_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", "rendered", "--faces", "64", "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["rendered"]
    assert figures["faces"] == 64 and np.isfinite(list(figures.values())).all()


def test_a_folder_without_labels_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "bundled", str(tmp_path)]) == 2
    assert "has no faces.jsonl" in capsys.readouterr().err
