"""Faces from words: one for every seed, the same again for the same seed, and clear errors."""

from __future__ import annotations

import pytest
import torch
from tiny_model import conv_model, processor

from facegpt.model.imagination import centred, imagine
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.rendering import Camera
from facegpt.training.start.small_model import add_imagination

PALETTE = torch.randn(5, 80, generator=torch.Generator().manual_seed(2))


def dreamer() -> FaceGptForConditionalGeneration:
    model = conv_model()
    add_imagination(model, size=6)
    return model.eval()


def test_a_seed_is_a_face_whatever_it_is_asked_with() -> None:
    model, own = dreamer(), processor()
    some = imagine(model, own, "the mouth is open", [3, 4, 5], PALETTE)
    alone = imagine(model, own, "the mouth is open", [4], PALETTE)
    assert torch.allclose(some.flat()[1], alone.flat()[0], atol=1e-5)
    assert (some.shape[0] - some.shape[1]).abs().max() > 1e-4


def test_words_matter_and_temperature_is_the_spread() -> None:
    model, own = dreamer(), processor()
    one, other = (
        imagine(model, own, text, [0], PALETTE) for text in ("the mouth is open", "a face turned to the left")
    )
    assert (one.shape - other.shape).abs().max() > 1e-4
    alike = imagine(model, own, "the mouth is open", [1, 2], PALETTE, temperature=0)
    assert torch.allclose(alike.flat()[0], alike.flat()[1], atol=1e-6)
    near, far = (imagine(model, own, "yes.", [1, 2], PALETTE, temperature=t).shape for t in (0.5, 1.0))
    assert torch.allclose(2 * (near[0] - near[1]), far[0] - far[1], atol=1e-5)


def test_colours_are_of_the_palette() -> None:
    albedo = imagine(dreamer(), processor(), "yes.", [0, 1, 2], PALETTE).albedo
    assert all((row == PALETTE).all(1).any() for row in albedo)


def test_the_head_stands_in_the_middle_of_its_crop() -> None:
    theta = imagine(dreamer(), processor(), "yes.", [0, 1], PALETTE)
    assert torch.allclose(theta.translation, centred(theta.rotation))
    below_the_eyes = theta.rotation @ torch.tensor([0.0, -0.038, 0.015]) + theta.translation
    seen = Camera(112).project(below_the_eyes[:, None])[0]
    assert (seen - Camera(112).centre).abs().max() < 1e-2


def test_what_cannot_be_imagined_is_said() -> None:
    with pytest.raises(ValueError, match="not trained to imagine"):
        imagine(conv_model(), processor(), "yes.", [0], PALETTE)
    with pytest.raises(ValueError, match="empty description"):
        imagine(dreamer(), processor(), "  ", [0], PALETTE)
    with pytest.raises(ValueError, match="noise_size is 0"):
        conv_model()(input_ids=torch.tensor([processor().description("yes.")]), noise=torch.zeros(1, 6))


def test_a_checkpoint_keeps_its_imagination(tmp_path: object) -> None:
    model, own = dreamer(), processor()
    model.save_pretrained(str(tmp_path))
    again = FaceGptForConditionalGeneration.from_pretrained(str(tmp_path)).eval()
    first, second = (imagine(one, own, "yes.", [7], PALETTE).flat() for one in (model, again))
    assert torch.equal(first, second)
