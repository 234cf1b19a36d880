"""`facegpt train` from rendering to a checkpoint that loads, and on from where it was stopped."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from photo_files import collect_photos
from tiny_training import render_tiny, write_config

from facegpt.model.checkpoint import load
from facegpt.training.data.pool import Batch
from facegpt.training.loop import Trainer
from jobs.cli import main
from jobs.train import read_config

FROM_BUNDLED = [
    "start.initial=bundled",
    *(f"stages.{stage}.steps=0" for stage in ("points", "trunk", "language")),
]


@pytest.mark.slow
def test_a_run_ends_in_a_checkpoint_and_goes_on_where_it_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "facegpt.train")
    # Shard 1 is rendered here; shard 0 by the run's own process.
    faces = f"rendering.folder={render_tiny(tmp_path / 'faces', 1)}"
    assert main(["train", write_config(tmp_path, faces)]) == 0
    assert "run/model: 4 steps" in capsys.readouterr().out
    for stage in ("trunk", "polish", "language"):
        assert any(message.endswith(f": {stage}") for message in caplog.messages)
    model = load(str(tmp_path / "run" / "model")).model
    first = {name: value.clone() for name, value in model.state_dict().items()}
    saved = torch.load(tmp_path / "run" / "training.pt", weights_only=True)
    assert saved["step"] == 4

    caplog.clear()
    assert main(["train", write_config(tmp_path, faces, "stages.language.steps=2")]) == 0
    assert "going on at step 4" in caplog.messages
    after = load(str(tmp_path / "run" / "model")).model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, first[name])}
    assert any("language_model" in name for name in moved)
    assert not any(".trunk." in name for name in moved), "the last stage holds the trunk fixed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output: [", "is not YAML"),
        ("- output", "must be a mapping"),
        ("output: x\ntrunk_stepz: 3", "nearest one is 'trunk_steps'"),
    ],
)
def test_a_bad_config_is_one_clear_line(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["train", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_a_run_starts_from_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, *FROM_BUNDLED, "stages.polish.steps=0", "stages.together.steps=1")
    assert main(["train", config]) == 0
    bundled, trained = (
        load(name).model.state_dict() for name in ("bundled", str(tmp_path / "run" / "model"))
    )
    same = [torch.allclose(trained[name], value, atol=0.05) for name, value in bundled.items()]
    assert sum(same) > 0.95 * len(same)
    for part in (".trunk.", "language_model"):
        assert any(part in name and not torch.equal(trained[name], value) for name, value in bundled.items())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of two photos with seven faces."""
    everything, folder = tmp_path_factory.mktemp("samples"), tmp_path_factory.mktemp("people")
    collect_photos(everything)
    for name in ("group.jpg", "portrait-spacesuit.png"):
        shutil.copy(everything / name, folder)
    return str(folder)


class Stopped(BaseException):
    """What ends a process in the middle of a run."""


def test_a_stopped_stage_of_photos_goes_on_with_its_teacher(
    people: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [f"photos.locations={people}", "photos.batch=3", "photos.clean=1"]
    stages = ["stages.polish.steps=0", "stages.photos.steps=3"]
    config = write_config(
        tmp_path, *FROM_BUNDLED, *stages, *photos, "photos.teacher_ema=0.5", "saving.save_every=1"
    )
    learn, teachers = Trainer.step, list[dict[str, torch.Tensor]]()

    def step(trainer: Trainer, batch: Batch) -> dict[str, float]:
        assert trainer.teacher is not None
        teachers.append({name: value.clone() for name, value in trainer.teacher.model.state_dict().items()})
        if trainer.state.step == 2:
            raise Stopped
        return learn(trainer, batch)

    monkeypatch.setattr(Trainer, "step", step)
    for _ in range(2):
        with pytest.raises(Stopped):
            main(["train", config])
    first, _, stopped, resumed = teachers
    saved = torch.load(tmp_path / "run" / "training.pt")
    name = next(name for name in stopped if name.endswith(".trunk.guess.weight"))
    others = (first[name], saved["model"][name], saved["average"][name])
    assert not any(torch.equal(stopped[name], other) for other in others)
    assert all(torch.equal(resumed[name], value) for name, value in stopped.items())


def test_photos_can_be_added_to_a_run_that_had_none(people: str, tmp_path: Path) -> None:
    assert main(["train", write_config(tmp_path, *FROM_BUNDLED)]) == 0
    photos = [f"photos.locations={people}", "photos.batch=2", "photos.clean=1"]
    assert main(["train", write_config(tmp_path, *FROM_BUNDLED, *photos, "stages.photos.steps=1")]) == 0
    assert torch.load(tmp_path / "run" / "training.pt")["step"] == 2


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, f"start.initial={tmp_path}")
    assert main(["train", config]) == 2
    assert "cannot start from" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["small.yaml", "backbone.yaml"])
def test_the_configs_of_the_readme_are_configs(name: str) -> None:
    config = read_config(str(Path(__file__).parents[2] / "configs" / name))
    assert config.steps > 0 and (config.start.backbone is None) == (name == "small.yaml")
