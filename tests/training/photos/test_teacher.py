"""What is learned from photos without labels: from a better look at them, and from their rendering."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from facegpt.model.checkpoint import load
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.morphable import Theta, bundled
from facegpt.rendering import linear_to_srgb, render
from facegpt.synthetic.faces import render_faces
from facegpt.training.config import LossWeights, TrainConfig
from facegpt.training.photos.crops import PhotoCrops, wide_side
from facegpt.training.photos.photometric import Photometric
from facegpt.training.photos.teacher import MeanTeacher

SIZE = 224
CONFIG = TrainConfig.of({"output": "run"}, ["compute.bfloat16=false"])


@pytest.fixture(scope="module")
def theta() -> Theta:
    return render_faces(bundled(), seed=5, count=4, size=SIZE).theta


@pytest.fixture(scope="module")
def model() -> FaceGptForConditionalGeneration:
    return load("bundled").model.float()


def wide_faces(count: int) -> torch.Tensor:
    """Rendered faces in the middle of wide crops."""
    images = (
        torch.from_numpy(render_faces(bundled(), seed=9, count=count, size=SIZE).images).permute(0, 3, 1, 2)
        / 255
    )
    edge = (wide_side(SIZE) - SIZE) // 2
    return torch.nn.functional.pad(images, (edge, edge, edge, edge), mode="replicate")


def test_crops_are_kept_and_drawn(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 336, 336, 3), dtype=np.uint8)
    PhotoCrops(images, SIZE).save(tmp_path / "photos.npz")
    crops = PhotoCrops.load(tmp_path / "photos.npz")
    assert np.array_equal(crops.images, images) and crops.size == SIZE
    drawn = (crops.draw(20, np.random.default_rng(1)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    as_they_are = [any(np.array_equal(one, image) for image in images) for one in drawn]
    mirrored = [any(np.array_equal(one[:, ::-1], image) for image in images) for one in drawn]
    assert all(a != b for a, b in zip(as_they_are, mirrored, strict=True)) and 3 < sum(mirrored) < 17
    with pytest.raises(ValueError, match="wide crops"):
        PhotoCrops(images, 64)


def test_a_face_in_its_own_picture_costs_nothing_and_another_colour_does(theta: Theta) -> None:
    photos = linear_to_srgb(render(bundled(), theta, SIZE).image.clamp(1e-3, 1))
    photometric = Photometric(bundled())
    assert float(photometric(theta, photos)) < 1e-6
    lighting = (theta.lighting * 0.8).requires_grad_()
    loss = photometric(Theta(**{**vars(theta), "lighting": lighting}), photos)
    loss.backward()
    assert float(loss.detach()) > 0.005 and lighting.grad is not None
    # Brighter light brings it back.
    assert float((lighting.grad * theta.lighting).sum()) < 0


def test_what_is_no_skin_has_little_say(theta: Theta) -> None:
    photos = linear_to_srgb(render(bundled(), theta, SIZE).image.clamp(1e-3, 1))
    hidden = photos.clone()
    hidden[:, :, 56:] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    assert float(Photometric(bundled())(theta, hidden)) < 0.02


def test_the_student_is_drawn_to_its_teacher(model: FaceGptForConditionalGeneration) -> None:
    teacher, wide = MeanTeacher(CONFIG, model, bundled()), wide_faces(4)
    student = deepcopy(model)
    losses = teacher.losses(student, wide, 2, torch.Generator().manual_seed(0))
    assert set(losses) == {"photo_points", "photo_face", "photometric"} <= {*losses, *vars(LossWeights())}
    again = teacher.losses(student, wide, 2, torch.Generator().manual_seed(0))
    assert {k: float(v.detach()) for k, v in losses.items()} == {
        k: float(v.detach()) for k, v in again.items()
    }
    torch.stack(list(losses.values())).sum().backward()
    moved = {name for name, p in student.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert any(".trunk.points." in name for name in moved) and any(".trunk.guess." in name for name in moved)
    assert all(p.grad is None for p in teacher.model.parameters())
    # A step down the slope, by as much as should save a hundredth of the loss, brings the student nearer.
    before = torch.stack(list(losses.values())).sum().detach()
    slopes = [p for p in student.parameters() if p.grad is not None]
    length = 0.01 * before / torch.stack([p.grad.square().sum() for p in slopes if p.grad is not None]).sum()
    with torch.no_grad():
        for parameter in slopes:
            parameter -= length * parameter.grad
        nearer = teacher.losses(student, wide, 2, torch.Generator().manual_seed(0))
    saved = before - torch.stack(list(nearer.values())).sum()
    assert 0.002 * before < saved < 0.05 * before
    assert "photometric" not in teacher.losses(student, wide, 0, torch.Generator().manual_seed(0))


def test_the_teacher_follows_slowly(model: FaceGptForConditionalGeneration) -> None:
    teacher = MeanTeacher(TrainConfig.of({"output": "run"}, ["photos.teacher_ema=0.75"]), model, bundled())
    student = deepcopy(model)
    with torch.no_grad():
        for weight in student.parameters():
            weight.zero_()
    teacher.follow(student)
    for weight, old in zip(teacher.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(weight, 0.75 * old)
    teacher.begin(model.state_dict())
    assert all(map(torch.equal, teacher.model.parameters(), model.parameters()))


def test_crops_of_another_size_are_refused(model: FaceGptForConditionalGeneration) -> None:
    with pytest.raises(ValueError, match="336 px are wanted"):
        MeanTeacher(CONFIG, model, bundled()).losses(model, torch.zeros(1, 3, 112, 112), 0, torch.Generator())
