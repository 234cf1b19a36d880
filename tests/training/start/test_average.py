"""A run can start from the mean of several checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from facegpt.model.checkpoint import Checkpoint, load
from facegpt.model.processing import FaceGptProcessor, train_tokenizer
from facegpt.morphable import bundled
from facegpt.training.config import TrainConfig, train_config
from facegpt.training.start.average import soup
from jobs.train_start import start
from pipeline.errors import UsageError


def test_a_soup_has_the_mean_of_all_weights() -> None:
    parts = [load("bundled") for _ in range(3)]
    before = {name: value.clone() for name, value in parts[0].model.state_dict().items()}
    with torch.no_grad():
        for place, part in enumerate(parts):
            for weight in part.model.parameters():
                weight.add_(place)
    mixed = soup(parts).model.state_dict()
    moved = {name for name, _ in parts[0].model.named_parameters(remove_duplicate=False)}
    for name, value in mixed.items():
        torch.testing.assert_close(value, before[name] + (name in moved), atol=1e-4, rtol=1e-4)


def test_what_has_another_form_or_other_words_is_refused() -> None:
    whole, other = load("bundled"), load("bundled")
    other.model.imagination = torch.nn.Linear(4, 4)
    with pytest.raises(ValueError, match="not of one architecture"):
        soup([whole, other])
    assert isinstance(whole.processor, FaceGptProcessor)
    words = FaceGptProcessor(train_tokenizer(["other words"], 300), whole.processor.image_tokens, "look")
    with pytest.raises(ValueError, match="one vocabulary"):
        soup([whole, Checkpoint(whole.model, words, "")])


def test_a_run_starts_from_the_mean(tmp_path: Path) -> None:
    whole = load("bundled")
    kept = whole.model.face_head.state_dict()
    before = {name: value.clone() for name, value in kept.items()}
    with torch.no_grad():
        for weight in whole.model.face_head.parameters():
            weight.mul_(3)
    whole.model.save_pretrained(tmp_path / "other")
    whole.processor.save_pretrained(tmp_path / "other")
    config = TrainConfig(output="", initial=("bundled", str(tmp_path / "other")))
    mixed = start(config, bundled(), tmp_path)[0].face_head.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(
            mixed[name], 2 * value if name in dict(whole.model.face_head.named_parameters()) else value
        )
    with pytest.raises(UsageError, match="cannot start from nowhere/at/all"):
        start(replace(config, initial=("bundled", "nowhere/at/all")), bundled(), tmp_path)


def test_one_checkpoint_needs_no_list() -> None:
    assert train_config({"output": "x", "initial": "bundled"}).initial == ("bundled",)
    assert train_config({"output": "x", "initial": ["a", "b"]}).initial == ("a", "b")
    assert train_config({"output": "x"}).initial == ()
