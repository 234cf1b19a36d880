"""A run can start from the mean of several checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facegpt.model.checkpoint import Checkpoint, load
from facegpt.model.processing import FaceGptProcessor, train_tokenizer
from facegpt.morphable import bundled
from facegpt.training.config import TrainConfig
from facegpt.training.start.average import average_checkpoints
from jobs.train_start import start
from pipeline.errors import UsageError


def test_the_average_is_the_mean_of_all_weights() -> None:
    parts = [load("bundled") for _ in range(3)]
    before = {name: value.clone() for name, value in parts[0].model.state_dict().items()}
    with torch.no_grad():
        for place, part in enumerate(parts):
            for weight in part.model.parameters():
                weight.add_(place)
    mixed = average_checkpoints(parts).model.state_dict()
    moved = {name for name, _ in parts[0].model.named_parameters(remove_duplicate=False)}
    for name, value in mixed.items():
        torch.testing.assert_close(value, before[name] + (name in moved), atol=1e-4, rtol=1e-4)


def test_what_has_another_form_or_other_words_is_refused() -> None:
    whole, other = load("bundled"), load("bundled")
    other.model.imagination = torch.nn.Linear(4, 4)
    with pytest.raises(ValueError, match="not of one architecture"):
        average_checkpoints([whole, other])
    assert isinstance(whole.processor, FaceGptProcessor)
    words = FaceGptProcessor(train_tokenizer(["other words"], 300), whole.processor.image_tokens, "look")
    with pytest.raises(ValueError, match="one vocabulary"):
        average_checkpoints([whole, Checkpoint(whole.model, words, "")])


def test_a_run_starts_from_the_mean(tmp_path: Path) -> None:
    whole = load("bundled")
    head = whole.model.face_head.state_dict()
    before = {name: value.clone() for name, value in head.items()}
    with torch.no_grad():
        for weight in whole.model.face_head.parameters():
            weight.mul_(3)
    whole.model.save_pretrained(tmp_path / "other")
    whole.processor.save_pretrained(tmp_path / "other")
    config = TrainConfig.of({"output": "run", "start": {"initial": ["bundled", str(tmp_path / "other")]}})
    mixed = start(config, bundled(), tmp_path)[0].face_head.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(
            mixed[name], 2 * value if name in dict(whole.model.face_head.named_parameters()) else value
        )
    missing = TrainConfig.of({"output": "run", "start": {"initial": ["bundled", "nowhere/at/all"]}})
    with pytest.raises(UsageError, match="cannot start from nowhere/at/all"):
        start(missing, bundled(), tmp_path)


def test_one_checkpoint_needs_no_list() -> None:
    for given, names in (("bundled", ("bundled",)), (["a", "b"], ("a", "b")), ([], ())):
        assert TrainConfig.of({"output": "run", "start": {"initial": given}}).start.initial == names
