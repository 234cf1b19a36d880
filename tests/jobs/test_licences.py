"""--commercial-only on the command line, and what status says of a run's licences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pipeline.run.annotate
from facegpt.bundled import BUNDLED_CHECKPOINT
from jobs.cli import main
from pipeline.annotate.model_source import CheckpointSource
from pipeline.config import RunConfig, load_config
from pipeline.output.run_json import write_record
from pipeline.run.setup import RunSetup, new_record, weights_of
from pipeline.storage.store import Storage

Said = pytest.CaptureFixture[str]


def complaint(capsys: Said) -> str:
    error = capsys.readouterr().err
    assert error.startswith("facegpt: ") and error.count("\n") == 1
    return error


@pytest.fixture
def detector(tmp_path: Path) -> list[str]:
    """Settings that name an ONNX file of nobody's."""
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"no licence here")
    return ["detector.name=insightface", f"detector.model={path}"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of one's own, without a card."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(BUNDLED_CHECKPOINT, folder)
    (folder / "README.md").unlink()
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    return folder


def sets(overrides: list[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def output(folder: Path, overrides: list[str]) -> Path:
    """An output that has nothing but its record."""
    config, source = load_config(None, overrides), CheckpointSource("bundled")
    # The detector's file is none that could be loaded.
    setup = RunSetup(config, source, weights_of(config, source), {})
    write_record(Storage(str(folder)), new_record(setup))
    return folder


@pytest.mark.parametrize("way", ["flag", "set", "file"])
def test_annotate_refuses_before_anything_is_written(
    way: str, detector: list[str], tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "config.yaml").write_text("licences:\n  commercial_only: true\n")
    said = {
        "flag": ["--commercial-only"],
        "set": ["--set", "licences.commercial_only=true"],
        "file": ["--config", str(tmp_path / "config.yaml")],
    }
    (tmp_path / "photos").mkdir()
    place = [str(tmp_path / "photos"), str(tmp_path / "out")]
    assert main(["annotate", *place, *sets(detector), *said[way]]) == 2
    line = complaint(capsys)
    assert "refuses detector insightface mine.onnx (licence unknown): --detector dlib" in line
    assert not (tmp_path / "out").exists()


def test_an_output_stays_as_it_is_and_all_that_is_wrong_is_named(
    detector: list[str], checkpoint: Path, tmp_path: Path, capsys: Said
) -> None:
    out = output(tmp_path / "out", [])
    before = (out / "run.json").read_bytes()
    model = ["--model", str(checkpoint)]
    place = [str(tmp_path), str(out), "--replace", "--commercial-only"]
    assert main(["annotate", *place, *model, *sets(detector)]) == 2
    line = complaint(capsys)
    assert f"model {checkpoint} (licence unknown): --model bundled" in line and "detector insightface" in line
    assert [path.name for path in out.iterdir()] == ["run.json"]
    assert (out / "run.json").read_bytes() == before


def test_what_is_free_is_let_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Through(Exception):
        pass

    def locked(*_: object, **__: object) -> None:
        raise Through

    monkeypatch.setattr(pipeline.run.annotate, "_locked", locked)
    with pytest.raises(Through):
        main(["annotate", str(tmp_path / "photos"), str(tmp_path / "out"), "--commercial-only"])


def test_retry_keeps_to_what_the_output_was_made_under(
    detector: list[str], tmp_path: Path, capsys: Said
) -> None:
    free = output(tmp_path / "free", detector)
    assert main(["retry", str(free), "--commercial-only"]) == 2
    assert "refuses detector insightface mine.onnx" in complaint(capsys)
    bound = output(tmp_path / "bound", [*detector, "licences.commercial_only=true"])
    assert main(["retry", str(bound)]) == 2
    assert "refuses detector insightface mine.onnx" in complaint(capsys)


def test_ask_and_imagine_refuse_as_well(
    detector: list[str], checkpoint: Path, tmp_path: Path, capsys: Said
) -> None:
    question = ["ask", str(tmp_path / "photo.jpg"), "is the mouth open", "--commercial-only"]
    assert main([*question, *sets(detector)]) == 2
    assert "refuses detector insightface mine.onnx" in complaint(capsys)
    assert main([*question, "--model", str(checkpoint)]) == 2
    assert f"refuses model {checkpoint} (licence unknown)" in complaint(capsys)
    imagined = tmp_path / "imagined"
    assert main(["imagine", "a smile", str(imagined), "--model", str(checkpoint), "--commercial-only"]) == 2
    assert f"refuses model {checkpoint} (licence unknown)" in complaint(capsys)
    assert not imagined.exists()


def test_status_tells_of_licences_that_may_not_do(detector: list[str], tmp_path: Path, capsys: Said) -> None:
    assert main(["status", str(output(tmp_path / "free", []))]) == 0
    assert "licence" not in capsys.readouterr().out
    bound = output(tmp_path / "bound", detector)
    assert main(["status", str(bound)]) == 0
    line = "licence   commercial use unknown: detector insightface mine.onnx (licence unknown)\n"
    assert line in capsys.readouterr().out
    assert main(["status", str(bound), "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert [weight["commercial"] for weight in weights] == [True, True, None]
    assert weights[2]["sha256"].keys() == {"mine.onnx"}


def test_the_setting_decides_no_row() -> None:
    bound = load_config(None, ["licences.commercial_only=true"])
    assert bound.deciding() == RunConfig().deciding()
