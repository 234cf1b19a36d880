"""The command line without Ray: every way to be wrong is one line on standard error and the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fake_model import FakeSource
from images import encoded
from PIL import Image

import pipeline.run.setup
from jobs.annotate import line
from jobs.cli import JOBS, main
from pipeline.config import RunConfig, load_config
from pipeline.output.run_json import write_record
from pipeline.run.fingerprint import combined
from pipeline.run.setup import new_record, set_up
from pipeline.run.work import RunSummary
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage


class OtherSource(FakeSource):
    """Another model than the one that the command uses here."""

    digest = "another model"


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.run.setup, "CheckpointSource", lambda *names: FakeSource())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(Image.new("RGB", (64, 64))))
    return folder


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("facegpt: ")
    assert error.count("\n") == 1
    return error


def test_every_job_has_help_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for job in JOBS:
        with pytest.raises(SystemExit) as stop:
            main([job, "--help"])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert f"facegpt {job}" in text.partition("examples:")[2]
        assert "exit codes: 0 done" in text


def test_the_overview_lists_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert all(f"  {job} " in capsys_text for capsys_text in [capsys.readouterr().out] for job in JOBS)
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0


def test_an_unknown_job_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anotate"]) == 2
    assert "did you mean 'annotate'" in complaint(capsys)


def test_a_module_is_the_job() -> None:
    done = subprocess.run([sys.executable, "-m", "jobs.status"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "facegpt status" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "there is no file or folder"),
        (["empty", "out"], "no image in"),
        (["photos", "photos"], "INPUT and OUTPUT are the same place"),
        (["photos", "other"], "holds something else"),
        (["photos", "other/note.txt"], "is a file, not a folder"),
        (["photos", "foreign"], r"its run.json is not of facegpt"),
        (["photos", "out", "--set", "detector.nam=dlib"], "unknown config key 'detector.nam'"),
        (
            ["photos", "out", "--set", "detector.name=dlip"],
            "there is no detector 'dlip'; did you mean 'dlib'",
        ),
        (["photos", "out", "--set", "detector.name=insightface"], "needs detector.model"),
        (["photos", "out", "--set", "detector.name=yunet"], "the path of a YuNet ONNX file"),
        (
            ["photos", "out", "--set", "detector.device=cuda"],
            "detector 'libfacedetection' runs on the CPU alone",
        ),
        (["photos", "out", "--config", "no.yaml"], "cannot read the config no.yaml"),
        (["https://host/photos", "out"], "only local paths and s3:// URLs"),
        (["s3://key:secret@bucket/photos", "out"], "credentials do not belong in a URL"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_2(
    arguments: list[str],
    message: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text('{"format": "of another tool"}')
    assert main(["annotate", *arguments]) == 2
    assert message in complaint(capsys)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "other" / "note.txt").read_text() == "mine"


@pytest.mark.parametrize("flag", [["--limit", "0"], ["--max-failed", "2"], ["--no-such-flag"]])
def test_flags_that_do_not_fit_exit_2(flag: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["annotate", "in", "out", *flag])
    assert stop.value.code == 2
    assert flag[0] in capsys.readouterr().err


def test_an_output_of_other_code_or_model_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(Storage(str(tmp_path / "out")), new_record(set_up(RunConfig(), OtherSource())))
    assert main(["annotate", str(photos), str(tmp_path / "out")]) == 2
    assert "the model or its face model changed since" in complaint(capsys)


def test_the_config_can_be_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["annotate", "in", "out", "--set", "model.micro_batch=5", "--print-config"]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert load_config(str(tmp_path / "printed.yaml")).model.micro_batch == 5


@pytest.mark.parametrize(
    ("committed", "failed", "arguments", "code"),
    [
        (2, 0, [], 0),
        (2, 5, [], 0),
        (2, 5, ["--max-failed", "0.5"], 0),
        (2, 5, ["--max-failed", "0.49"], 1),
        (2, 0, ["--max-failed", "0"], 0),
        (1, 0, [], 1),
        (0, 0, [], 3),
    ],
)
def test_exit_codes_of_a_run(
    committed: int, failed: int, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {f"shard{index}": "its worker process died" for index in range(2 - committed)}
    statuses = Counter(failed=failed, no_face=10 - failed)
    summary = RunSummary(2, committed, 10 if committed else 0, 0, 0, statuses, 1.0, errors)
    monkeypatch.setattr("jobs.annotate.annotate", lambda *_, **__: summary)
    assert main(["annotate", "in", "out", *arguments]) == code


def test_the_last_line_says_what_was_done() -> None:
    summary = RunSummary(1, 1, 1200, 900, 900, Counter(annotated=700, failed=500), 60.0, {})
    assert line(summary, "out") == (
        "1,200 images (700 annotated, 500 failed), 900 faces, 900 meshes in 60.0 s (20.0 images/s) -> out"
    )


@pytest.mark.parametrize(
    ("job", "rest"),
    [("status", []), ("verify", []), ("verify", ["--repair"]), ("retry", []), ("forget", ["0" * 32])],
)
def test_a_run_that_is_not_there_is_one_line(
    job: str, rest: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([job, str(tmp_path / "nowhere"), *rest]) == 2
    assert "there is no run at" in complaint(capsys)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("arguments", [["verify", "--repair"], ["retry"], ["forget", "0" * 32]])
def test_what_another_command_is_at_work_on_is_left_alone(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(str(tmp_path))
    write_record(storage, new_record(set_up(RunConfig(), FakeSource())))
    job, *rest = arguments
    with run_lock(storage):
        assert main([job, storage.root, *rest]) == 2
    assert "is in use by process" in complaint(capsys)
    assert storage.keys() == ["run.json"]


def test_status_and_verify_of_an_empty_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = set_up(RunConfig(), FakeSource())
    write_record(Storage(str(tmp_path)), new_record(setup))
    assert main(["status", str(tmp_path), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["images"], status["shards"], status["fingerprint"]) == (0, 0, combined(setup.fingerprints))
    assert main(["verify", str(tmp_path)]) == 1
    assert "the manifest is empty" in capsys.readouterr().out


def test_samples_have_neutral_names_and_origins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", str(tmp_path / "photos")]) == 0
    names = {path.name for path in (tmp_path / "photos").iterdir()}
    assert {"portrait-spacesuit.png", "contact-sheet.jpg", "coffee.png", "ORIGIN.csv"} <= names
    rows = (tmp_path / "photos" / "ORIGIN.csv").read_text().splitlines()
    assert rows[0] == "file,package,path,origin,licence"
    assert len(rows) == len(names)
    assert "8 photos in" in capsys.readouterr().out
