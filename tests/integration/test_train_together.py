"""`facegpt train --workers 2`: one model from two processes of Ray Train."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from facegpt.model.checkpoint import load
from jobs.cli import main

TINY = {
    "points_steps": 1,
    "trunk_steps": 1,
    "polish_steps": 1,
    "language_steps": 1,
    "shard_faces": 8,
    "batch": 4,
    "reuse": 2.0,
    "pool": 1,
    "warmup": 1,
    "text_every": 1,
    "evaluate_every": 4,
    "save_every": 2,
    "threads": 1,
}


def write(folder: Path, **changes: object) -> str:
    path = folder / "config.yaml"
    own = {"output": str(folder / "run"), "synthetic_folder": str(folder / "faces")}
    path.write_text(yaml.safe_dump({**own, **TINY, **changes}), encoding="utf-8")
    return str(path)


def test_two_processes_train_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", write(tmp_path), "--workers", "2"]) == 0
    assert "run/model: 4 steps" in capsys.readouterr().out
    saved = torch.load(tmp_path / "run" / "training.pt", weights_only=True)
    assert saved["step"] == 4 and '"workers": 2' in saved["config"]
    assert load(str(tmp_path / "run" / "model")).model.config.crop_size == 112


def test_more_workers_than_the_machine_holds_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", write(tmp_path), "--workers", "5000"]) == 2
    error = capsys.readouterr().err.strip()
    assert "5000 workers want 5000 CPUs, and Ray has" in error and "\n" not in error
