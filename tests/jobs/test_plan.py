"""`facegpt plan` as a command: what it prints, and every way to be wrong is one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole_runs import five_images

from jobs.cli import main
from pipeline.output.plan_json import write_plan
from pipeline.planning import probe
from pipeline.planning.measured import STEPS
from pipeline.storage.store import Storage

DRY = ["--model", "null", "--detector", "null", "--set", "workers.engine=processes"]

Said = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe, "STEADY_SECONDS", 0.0)
    return five_images(tmp_path)


def complaint(capsys: Said) -> str:
    error = capsys.readouterr().err
    assert error.startswith("facegpt: ")
    assert error.count("\n") == 1
    return error


def test_a_plan_is_printed_kept_and_compared(photos: Path, capsys: Said) -> None:
    assert main(["plan", "photos", "--output", "out", "--machines", "c7i.4xlarge", "g6.xlarge", *DRY]) == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    for word in (
        "per worker",
        "slowest",
        "workers",
        "time",
        "memory",
        "output",
        "this machine",
        "USD",
        "prices:",
    ):
        assert word in said
    assert "model not measured" in said and "kept in out" in said
    assert main(["annotate", "photos", "out", *DRY]) == 0
    capsys.readouterr()
    assert main(["status", "out"]) == 0
    assert "times the plan" in capsys.readouterr().out
    assert main(["status", "out", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["plan"]["images"] == 5 and "times the plan" in status["against_plan"]


def test_a_plan_for_programs_is_one_json(photos: Path, capsys: Said) -> None:
    assert main(["plan", "photos", "--images", "100000", "--json", *DRY]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["images"] == 100_000 and plan["seconds"] > 1
    assert set(plan["seconds_per_image"]) == set(STEPS)
    assert all(0 <= plan["cpu_seconds_per_image"][key] <= plan["seconds_per_image"][key] for key in STEPS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder"),
        (["empty"], "no image in"),
        (["photos", "--output", "photos"], "INPUT and OUTPUT are the same place"),
        (["photos", "--output", "other"], "holds something else"),
        (["photos", "--machines", "c7i.4xlarg"], "did you mean 'c7i.4xlarge'"),
        (["photos", "--machines", "none.yaml"], "cannot read the machines file none.yaml"),
        (["photos", "--machines", "bad.yaml"], "machines file key 'machines.a.cpus'"),
        (["photos", "--set", "detector.nam=dlib"], "unknown config key 'detector.nam'"),
        (["photos", "--model", "nowhere/model"], "model.path"),
        (["photos", "--set", "workers.engine=processes", "--set", "model.device=cuda"], "has no GPU"),
        (["https://host/photos"], "only local paths and s3:// URLs"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_2(
    arguments: list[str], message: str, photos: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    (tmp_path / "bad.yaml").write_text("machines: {a: {cpus: none}}")
    assert main(["plan", *arguments]) == 2
    assert message in complaint(capsys)


def test_a_cluster_wants_an_output(photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main(["plan", "photos"]) == 2
    assert "name it with --output" in complaint(capsys)


@pytest.mark.parametrize("flag", [["--images", "0"], ["--probe", "-1"], ["--images", "many"], ["--machines"]])
def test_flags_that_do_not_fit_exit_2(flag: list[str], capsys: Said) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "in", *flag])
    assert stop.value.code == 2
    assert flag[0] in capsys.readouterr().err


def test_a_plan_alone_is_no_run(tmp_path: Path, capsys: Said) -> None:
    plan = {"images": 5, "seconds": 2.0, "start_seconds": 1.0, "seconds_per_image": {}}
    write_plan(Storage(str(tmp_path)), plan)
    assert main(["status", str(tmp_path)]) == 2
    assert "there is no run at" in complaint(capsys)
