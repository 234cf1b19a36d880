"""`facegpt train --workers 2`: one model from two processes of Ray Train."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import write_config

from facegpt.model.checkpoint import load
from jobs.cli import main

pytestmark = pytest.mark.timeout(900)


def test_two_processes_train_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", write_config(tmp_path), "--workers", "2"]) == 0
    assert "run/model: 4 steps" in capsys.readouterr().out
    saved = torch.load(tmp_path / "run" / "training.pt", weights_only=True)
    assert saved["step"] == 4 and '"workers": 2' in saved["config"]
    assert load(str(tmp_path / "run" / "model")).model.config.crop_size == 224


def test_more_workers_than_the_machine_holds_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", write_config(tmp_path), "--workers", "5000"]) == 2
    error = capsys.readouterr().err.strip()
    assert "5000 workers want 5000 CPUs, and Ray has" in error and "\n" not in error
