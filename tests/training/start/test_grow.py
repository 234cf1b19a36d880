"""A grown model sees at first what it saw, and can learn to see more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facegpt.model.checkpoint import load
from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.tower.unwrap import thin_plate
from facegpt.morphable import bundled
from facegpt.training.config import TrainConfig
from facegpt.training.start.grow import grow_model
from jobs.train_start import start
from pipeline.errors import UsageError
from tests.support.tiny_model import conv_model


@pytest.fixture
def small() -> FaceGptForConditionalGeneration:
    """A tiny model whose map of the face is as smooth as a trained one's."""
    model = conv_model()
    trunk = trunk_of(model)
    line = torch.linspace(0.06, -0.06, trunk.unwrap.side)
    y, x = torch.meshgrid(line, -line, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    trunk.unwrap.weights.copy_(thin_plate(trunk.fit.mean[:, :2], places, 0.01))
    return model


def pictures(side: int) -> Tensor:
    """Smooth ones, so that a coarse map of them is the mean of a fine one."""
    coarse = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


@torch.no_grad()
def test_it_sees_what_it_saw(small: FaceGptForConditionalGeneration) -> None:
    grown = grow_model(small)
    assert grown.config.crop_size == 2 * small.config.crop_size == 64
    assert not grown.training
    reduced = nn.functional.avg_pool2d(pictures(64), 2)
    before, after = trunk_of(small)(reduced), trunk_of(grown)(pictures(64))
    torch.testing.assert_close(after.points, before.points)
    torch.testing.assert_close(after.spread, before.spread)
    apart = before.summary.std(0).mean()
    assert apart > 0.005
    assert (after.summary - before.summary).abs().mean() < 0.1 * apart


def test_what_is_new_can_learn(small: FaceGptForConditionalGeneration) -> None:
    grown = grow_model(small).train()
    look = trunk_of(grown).second_look
    learning = torch.optim.SGD(look.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in look.named_parameters()}
    for _ in range(4):
        learning.zero_grad()
        trunk_of(grown)(pictures(64)).summary.square().mean().backward()
        learning.step()
    moved = {name: (value - before[name]).abs().amax() for name, value in look.named_parameters()}
    assert all(value > 0 for value in moved.values()), moved


def test_only_the_second_look_is_new(small: FaceGptForConditionalGeneration) -> None:
    before, after = small.state_dict(), grow_model(small).state_dict()
    for name, value in before.items():
        if ".second_look." not in name:
            torch.testing.assert_close(after[name], value)


def test_twice_closer_is_four_times(small: FaceGptForConditionalGeneration) -> None:
    twice = grow_model(grow_model(small))
    assert twice.config.crop_size == 128
    with torch.no_grad():
        seen = trunk_of(twice)(pictures(128))
        before = trunk_of(small)(nn.functional.avg_pool2d(pictures(128), 4))
    assert (seen.summary - before.summary).abs().mean() < 0.1 * before.summary.std(0).mean()


def test_a_config_says_how_large_crops_are(tmp_path: Path) -> None:
    trained = load("bundled").model.config.crop_size

    def crop_size(wanted: int) -> int:
        changes = ["start.initial=bundled", f"start.crop_size={wanted}"]
        model, _ = start(TrainConfig.of({"output": "run"}, changes), bundled(), tmp_path)
        return int(model.config.crop_size)

    assert (crop_size(trained), crop_size(2 * trained)) == (trained, 2 * trained)
    message = f"sees crops of {trained} px, and start.crop_size is 100; it may be {trained}, or"
    with pytest.raises(UsageError, match=message):
        crop_size(100)
