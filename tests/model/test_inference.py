"""A model made ready for inference says what the model says, and leaves it as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_backbones import CROP, backbone
from tiny_model import conv_model, pixels, processor
from torch import nn

from facegpt.model.backbones.join import with_face
from facegpt.model.checkpoint import load
from facegpt.model.generation import answers, generate_faces, moved_up, read_faces
from facegpt.model.inference import InferenceModel, folded
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.morphable import bundled
from facegpt.synthetic.faces import render_faces


def lively(albedo_side: int = 0) -> FaceGptForConditionalGeneration:
    """A tiny model whose batch norms are not the identity."""
    model = conv_model(albedo_side=albedo_side)
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model


@torch.inference_mode()
def test_folded_convolutions_give_the_same_trunk() -> None:
    model = lively()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quick = InferenceModel(model)
    assert quick.trunk is not None and quick.language is not None
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.trunk.modules())
    expected, found = model.run_trunk(pixels(3)), quick.run_trunk(pixels(3))
    assert expected is not None and found is not None
    for name in ("summary", "guess", "points", "spread"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-4, rtol=1e-3)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_not_a_convolution_is_shared_and_not_copied() -> None:
    model = lively()
    trunk = model.backbone.model.vision_tower.trunk
    quick = folded(trunk)
    assert quick.summary.weight is trunk.summary.weight and quick.unwrap.weights is trunk.unwrap.weights
    assert quick.stem[0].weight is not trunk.stem[0].weight


@pytest.mark.parametrize("question", [None, "is the mouth open"])
def test_faces_and_words_are_those_of_the_model(question: str | None) -> None:
    model, own = lively(), processor()
    quick = InferenceModel(model)
    expected, found = (
        generate_faces(one, own, pixels(4), question=question, max_new_tokens=12) for one in (model, quick)
    )
    assert found.texts == expected.texts and found.finished == expected.finished
    torch.testing.assert_close(found.theta, expected.theta, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.log_error, expected.log_error, atol=1e-3, rtol=1e-3)


def test_the_fitted_albedo_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, own = lively(albedo_side=8), processor()
    fit = model.backbone.model.vision_tower.trunk.albedo
    for tensor in (fit.skin, fit.mean, fit.basis):
        tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)))
    fit.normals[:, 2] = 1.0
    fit.gain.data.fill_(0.5)
    expected, found = (
        generate_faces(one, own, pixels(), max_new_tokens=1) for one in (model, InferenceModel(model))
    )
    torch.testing.assert_close(found.theta, expected.theta, atol=1e-3, rtol=1e-3)


def test_another_backbone_is_computed_by_its_own_code() -> None:
    backbone_model, words = backbone("qwen2_5_vl")
    model, spoken = with_face(
        backbone_model, words, bundled(), crop_size=CROP, instruction="describe the face"
    )
    module: nn.Module = model
    module.eval()
    quick = InferenceModel(model)
    assert quick.trunk is None and quick.language is None
    crops = np.random.default_rng(0).integers(0, 256, (3, CROP, CROP, 3), dtype=np.uint8)
    expected, found = (
        generate_faces(one, spoken, spoken.pixel_values(crops), max_new_tokens=5) for one in (model, quick)
    )
    assert found.texts == expected.texts and torch.equal(found.theta, expected.theta)


def test_the_bundled_model_says_the_same_of_rendered_faces() -> None:
    checkpoint = load()
    seen = checkpoint.processor.pixel_values(render_faces(bundled(), 24_680, 12, 224).images)
    expected, found = (
        generate_faces(one, checkpoint.processor, seen)
        for one in (checkpoint.model, InferenceModel(checkpoint.model))
    )
    assert found.texts == expected.texts and found.finished == expected.finished
    torch.testing.assert_close(found.theta, expected.theta, atol=5e-4, rtol=1e-3)


def test_kept_rows_stay_or_move_up() -> None:
    left = torch.tensor([True, False, True, False, True, True])
    assert moved_up(left, 4).tolist() == [0, 4, 2, 5]
    assert moved_up(torch.ones(3, dtype=torch.bool), 3).tolist() == [0, 1, 2]
    assert moved_up(torch.tensor([False, False, True]), 1).tolist() == [2]


def test_micro_batches_that_are_answered_together_say_what_each_says() -> None:
    model, own = lively(), processor()
    quick = InferenceModel(model)
    seen = pixels(7)
    read = [read_faces(quick, own, seen[first : first + 3]) for first in (0, 3, 6)]
    joined = quick.joined(read)
    texts, finished = answers(quick, own, joined, captions=True, max_new_tokens=12)
    expected = generate_faces(model, own, seen, max_new_tokens=12)
    assert texts == expected.texts and finished == expected.finished
    torch.testing.assert_close(joined.theta, expected.theta, atol=1e-3, rtol=1e-3)
