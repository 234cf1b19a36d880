"""`facegpt evaluate` on labelled photos, photos alone, rendered faces and their twins; figures in a model card."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from facegpt.evaluation.card import figures_table, marks
from jobs.cli import main
from pipeline.config import load_config
from pipeline.photos.labelled import read_labelled
from pipeline.photos.surest import spread_photos
from pipeline.sources.samples import collect

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
    poses = ({"yaw": 10.0, "pitch": 0.0, "roll": -5.0}, None)
    rows = [
        {"path": f"people/{PHOTO}", "landmarks68": points.tolist(), "pose": pose}
        for points, pose in zip((on_face, unit * 40 + [20, 440]), poses, strict=True)
    ]
    (folder / "faces.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_a_face_is_found_where_its_points_are(labelled: Path) -> None:
    there, elsewhere = read_labelled(str(labelled), load_config(None, []), 112)
    assert there.group == "people" and there.detected is not None and elsewhere.detected is None
    assert there.detected.crop.shape == (112, 112, 3) and 60 < there.detected.face_px < 140
    assert there.pose is not None and there.pose.tolist() == [10, 0, -5] and elsewhere.pose is None


def test_a_box_around_another_larger_face_is_not_that_of_a_small_one(labelled: Path, tmp_path: Path) -> None:
    """Its points lie inside the large box, in a corner."""
    shutil.copytree(labelled / "people", tmp_path / "people")
    points = np.random.default_rng(0).random((68, 2)) * 15 + [186, 140]
    row = {"path": f"people/{PHOTO}", "landmarks68": points.tolist()}
    (tmp_path / "faces.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (face,) = read_labelled(str(tmp_path), load_config(None, []), 112)
    assert face.detected is None


def test_figures_are_printed_and_written(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", str(labelled), "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["people"]
    assert figures["faces"] == 2 and figures["found"] == 1
    assert 0 < figures["nme_percent"] < 100
    assert figures["poses"] == 1 and figures["yaw_error_deg"] < 45 and figures["roll_error_deg"] < 45
    assert figures["found_yaw_0_30"] == 1, "the label says 10 degrees, whatever the points say"
    assert sum(value for name, value in figures.items() if name.startswith("faces_yaw")) == 2
    assert np.isfinite(figures["psnr_gain_db"])
    assert figures_table({"people": figures}).count("\n") == len(figures) + 1, "each figure has words"
    assert figures["psnr_gain_db"] == pytest.approx(figures["psnr_lit_db"] - figures["psnr_mean_face_lit_db"])
    assert "nme_percent" in capsys.readouterr().out


def test_several_sets_are_measured_alone_and_all_together(labelled: Path, tmp_path: Path) -> None:
    rows = (labelled / "faces.jsonl").read_text(encoding="utf-8")
    shutil.copytree(labelled / "people", tmp_path / "people")
    shutil.copytree(labelled / "people", tmp_path / "others")
    (tmp_path / "faces.jsonl").write_text(
        rows + "\n" + rows.replace('"people/', '"others/'), encoding="utf-8"
    )
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", str(tmp_path), "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))
    assert list(figures) == ["others", "people", "all"]
    # An angle that is almost 0 differs by what float32 holds of it.
    assert figures["others"] == pytest.approx(figures["people"], rel=1e-4, abs=1e-5)
    assert (figures["all"]["faces"], figures["all"]["found"]) == (4, 2)
    for name in ("nme_percent", "psnr_gain_db", "yaw_error_deg"):
        assert figures["all"][name] == pytest.approx(figures["people"][name], rel=1e-4)


@pytest.mark.slow
def test_rendered_faces_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.evaluate.FACES_PER_STREAM", 16)  # no more faces than asked for
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", "rendered", "--faces", "16", "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["rendered"]
    assert figures["faces"] == 16 and np.isfinite(list(figures.values())).all()
    assert figures_table({"rendered": figures}).count("\n") == len(figures) + 1, "each figure has words"


def test_photos_need_no_labels(tmp_path: Path) -> None:
    """A photo with a face, and one that cannot be read; the figures go into the card, and again change nothing."""
    collect(tmp_path / "samples")
    folder = tmp_path / "some photos"
    folder.mkdir()
    shutil.copy(tmp_path / "samples" / PHOTO, folder)
    (folder / "broken.jpg").write_bytes(b"not a photo")
    card, target = tmp_path / "README.md", tmp_path / "figures.json"
    card.write_text("# Card\n\n" + "\n".join(marks("photos")) + "\n\nThe rest.\n", encoding="utf-8")
    command = ["evaluate", "bundled", str(folder), "--json", str(target), "--card", str(card)]
    assert main(command) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["some photos"]
    assert (figures["photos"], figures["unreadable"], figures["found"]) == (2, 1, 1)
    assert figures["psnr_lit_db"] > 10
    text = card.read_text(encoding="utf-8")
    assert "`facegpt evaluate bundled 'some photos'`" in text and str(tmp_path) not in text
    assert "| gain over the mean face, dB |" in text
    assert text.startswith("# Card\n") and text.endswith("\n\nThe rest.\n")
    assert main(command) == 0
    assert card.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_an_audit_says_what_each_change_does(tmp_path: Path) -> None:
    card, target = tmp_path / "README.md", tmp_path / "figures.json"
    card.write_text("\n".join(marks("audit")), encoding="utf-8")
    options = ["--faces", "4", "--json", str(target), "--card", str(card)]
    assert main(["evaluate", "bundled", "audit", *options]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))
    assert {name.partition(":")[0] for name in figures} == {"skin tone", "light", "pose", "sex-linked shape"}
    for values in figures.values():
        assert np.isfinite(list(values.values())).all() and values["nme_percent_change_se"] > 0
    text = card.read_text(encoding="utf-8")
    assert "`facegpt evaluate bundled audit --faces 4`" in text
    assert all(f"| {name} |" in text for name in figures)


def test_photos_are_spread_over_a_folder(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.jpg").touch()
    assert [Path(entry.uri).name for entry in spread_photos(str(tmp_path), 3)] == ["0.jpg", "4.jpg", "8.jpg"]
    assert len(spread_photos(str(tmp_path), 9)) == len(spread_photos(str(tmp_path), 99)) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--card", "{card}"], "facegpt evaluate rendered: begin"),
        (["--card", "{card}.none"], "cannot read"),
        (["--faces", "1"], "--faces must be at least 2"),
    ],
)
def test_what_cannot_end_well_ends_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    card = tmp_path / "README.md"
    card.write_text("# Card\n", encoding="utf-8")
    given = [option.format(card=card) for option in options]
    assert main(["evaluate", "bundled", "rendered", *given]) == 2
    assert message in capsys.readouterr().err
    assert card.read_text(encoding="utf-8") == "# Card\n"


def test_a_pose_that_is_none_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(tmp_path)
    row = {"path": PHOTO, "landmarks68": [[1, 2]] * 68, "pose": {"yaw": 3}}
    (tmp_path / "faces.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert main(["evaluate", "bundled", str(tmp_path)]) == 2
    assert f"the pose of {PHOTO} must be null, or have yaw, pitch and roll" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON object with path, landmarks68 and maybe pose"),
        ('["path"]', "line 1 is no JSON object with path, landmarks68 and maybe pose"),
        (json.dumps({"path": PHOTO}), "line 1 is no JSON object with path, landmarks68 and maybe pose"),
        (json.dumps({"path": PHOTO, "landmarks68": [[1, 2]] * 5}), "landmarks68 must be 68 pairs of numbers"),
        (json.dumps({"path": "none.jpg", "landmarks68": [[1, 2]] * 68}), "cannot read none.jpg"),
        (json.dumps({"path": "broken.jpg", "landmarks68": [[1, 2]] * 68}), "cannot read broken.jpg"),
    ],
)
def test_a_label_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    (tmp_path / "faces.jsonl").write_text(line, encoding="utf-8")
    assert main(["evaluate", "bundled", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said and "faces.jsonl, line 1" in said and said.count("\n") == 1


@pytest.mark.parametrize("name", ["empty", "none"])
def test_data_without_photos_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", "bundled", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert "DATA is 'rendered', 'audit', a folder with faces.jsonl, or photos" in said
    assert said.count("\n") == 1 and name in said


def test_photos_may_lie_in_a_tar(tmp_path: Path) -> None:
    collect(tmp_path / "samples")
    with tarfile.open(tmp_path / "photos.tar", "w") as pack:
        pack.add(tmp_path / "samples" / PHOTO, PHOTO)
    target = tmp_path / "figures.json"
    assert main(["evaluate", "bundled", str(tmp_path / "photos.tar"), "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))["photos.tar"]
    assert (figures["photos"], figures["found"]) == (1, 1)
