"""Face models on the command line: imported, converted, selected; and outputs of two models that do not mix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from face_files import bfm_front, gnm

from facegpt.bundled import BUNDLED_CHECKPOINT
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import CheckpointError
from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.conversion.mapping import Mapping
from facegpt.training.config.sections import RenderingConfig
from facegpt.training.data.shard_cache import store_of
from facegpt.training.start.check_face_model import check_trainable
from jobs.cli import main
from pipeline.annotate.model_source import CheckpointSource
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.run.fingerprint import check_same
from pipeline.run.setup import new_record, set_up


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The bundled face model under another name, and therefore with another sha256."""
    model = FaceModel.from_bytes(bundled().to_bytes())
    model.id = "anny-head/other"
    path = tmp_path / "other.safetensors"
    model.save(path)
    return path


def checkpoint_for(face_model: Path, folder: Path) -> Path:
    """The bundled checkpoint, as if it had been trained on `face_model`."""
    shutil.copytree(BUNDLED_CHECKPOINT, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    known = FaceModel.load(face_model)
    config |= {"face_model_id": known.id, "face_model_sha256": known.sha256}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def test_import_writes_a_model_that_says_where_it_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, dest, picture = (
        bfm_front(tmp_path / "front.mat"),
        tmp_path / "bfm.safetensors",
        tmp_path / "bfm.png",
    )
    arguments = [
        "import-face-model",
        str(source),
        str(dest),
        "--keep",
        "2",
        "3",
        "1",
        "--picture",
        str(picture),
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "2 shape, 3 expression and 1 albedo modes" in out and "non-commercial" in out
    model = FaceModel.load(dest)
    assert (
        model.licence.startswith("Basel Face Model licence") and "10 units to the metre" in model.conversion
    )
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.h5", "a.safetensors"], "no face model at missing.h5"),
        (["missing.h5", "a.npz"], "must end in .safetensors"),
    ],
)
def test_import_complains_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-face-model", *arguments]) == 2
    assert message in said(capsys)


def test_convert_says_its_error_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "mapping.safetensors"
    assert main(["convert-face-model", str(gnm(tmp_path)), "bundled", str(dest), "--faces", "3"]) == 0
    out = capsys.readouterr().out
    assert "gnm-head-3.0/1" in out and "mean face" in out and " mm" in out
    mapping = Mapping.load(dest)
    assert mapping.target_sha256 == bundled().sha256
    assert 0 < mapping.figures["neutral_mean_mm"] < mapping.figures["neutral_mean_face_mean_mm"]


def test_a_checkpoint_wants_the_face_model_it_was_trained_on(other: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"trained on face model anny-head/1 .*, not on .*other\.safetensors"
    ):
        CheckpointSource("bundled", str(other))
    folder = checkpoint_for(other, tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=r"trained on face model anny-head/other .*--face-model"):
        CheckpointSource(str(folder))
    assert CheckpointSource(str(folder), str(other)).load("cpu").face_model.id == "anny-head/other"
    with pytest.raises(CheckpointError, match="needs the face model it was trained on"):
        FaceAnnotator.from_pretrained(str(folder))


def test_annotate_says_so_in_one_line(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = [str(tmp_path), str(tmp_path / "out")]
    assert main(["annotate", *place, "--face-model", str(other)]) == 2
    assert "a checkpoint that was trained on this one" in said(capsys)
    assert main(["annotate", *place, "--face-model", "model2017-1_bfm_nomouth.h5"]) == 2
    assert "run `facegpt import-face-model" in said(capsys)
    assert main(["annotate", *place, "--face-model", str(tmp_path / "none.safetensors")]) == 2
    assert "cannot read the face model" in said(capsys)
    assert not (tmp_path / "out").exists()


def test_outputs_of_two_face_models_do_not_mix(other: Path, tmp_path: Path) -> None:
    folder = checkpoint_for(other, tmp_path / "checkpoint")
    mine = set_up(RunConfig())
    theirs = set_up(load_config(None, [f"model.path={folder}", f"model.face_model={other}"]))
    check_same(new_record(mine), mine.fingerprints, "OUT")
    with pytest.raises(UsageError, match="the model or its face model changed since"):
        check_same(new_record(mine), theirs.fingerprints, "OUT")
    with pytest.raises(UsageError, match="would be mixed"):
        check_same(new_record(theirs), mine.fingerprints, "OUT")


def test_training_on_a_model_without_actions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["import-face-model", str(bfm_front(tmp_path / "f.mat")), str(tmp_path / "f.safetensors")]) == 0
    )
    capsys.readouterr()
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump({"output": str(tmp_path / "run")}), "utf-8")
    assert main(["train", str(config), "--face-model", str(tmp_path / "f.safetensors")]) == 2
    message = said(capsys)
    assert "lacks 52 of 52 ARKit actions" in message and "convert-face-model" in message
    assert not (tmp_path / "run").exists()


def test_training_from_a_checkpoint_of_another_face_model_is_refused(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"output": str(tmp_path / "run"), "initial": "bundled", "face_model": str(other)}
    values |= {"synthetic_folder": str(tmp_path / "faces"), "shard_faces": 8}
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(values), "utf-8")
    assert main(["train", str(config)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "it was trained on face model anny-head/1" in error and "not on anny-head/other" in error


def test_rendered_faces_of_two_face_models_are_kept_apart(other: Path, tmp_path: Path) -> None:
    rendering = RenderingConfig(folder=str(tmp_path), shard_faces=8)
    mine = store_of(rendering, 112, bundled())
    theirs = store_of(rendering, 112, FaceModel.load(other))
    assert mine.path(0).parent == tmp_path
    assert theirs.path(0).parent != mine.path(0).parent
    check_trainable(FaceModel.load(other))


def test_a_model_without_modes_has_one_colour_and_a_neutral_face(tmp_path: Path) -> None:
    model = FaceModel.from_bytes(bundled().to_bytes())
    model.albedo_basis, model.albedo_examples = model.albedo_basis[:0], model.albedo_examples[:0, :0]
    assert torch.allclose(model.albedo(torch.zeros(2, 0))[1], model.albedo_mean.clamp(0, 1))
