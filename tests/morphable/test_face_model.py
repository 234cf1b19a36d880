"""The bundled face model: shapes, symmetry, landmarks where they belong, a jaw contour that follows the pose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.bundled import PATH
from facegpt.rendering import euler_to_matrix

MIRRORED_68 = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]


def frontal_landmarks(model: FaceModel) -> torch.Tensor:
    return model.landmarks(model.mean[None], torch.eye(3)[None])[0]


def test_counts_and_names() -> None:
    model = bundled()
    assert (model.n_shape, model.n_expression, model.n_albedo) == (80, 52, 80)
    assert len(model.expression_names) == 52 and "jawOpen" in model.expression_names
    assert model.triangles.max() < model.n_vertices
    assert len(model.sha256) == 64


def test_mean_head_is_symmetric() -> None:
    model = bundled()
    skin = model.mean[model.regions == 0]
    mirrored = skin * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.cdist(mirrored, skin).min(1).values.max() < 5e-4


def test_eyes_are_63_mm_apart_and_the_origin_lies_between() -> None:
    model = bundled()
    # Middles of the eyeballs' boxes: their fronts hold more vertices than their backs.
    balls = [model.mean[torch.isin(model.regions, torch.tensor(ids))] for ids in ([1, 3], [2, 4])]
    left, right = ((ball.amin(0) + ball.amax(0)) / 2 for ball in balls)
    assert abs(float((left - right).norm()) - 0.063) < 2e-3
    assert float((left + right).norm()) / 2 < 3e-3


def test_landmarks_are_symmetric_and_in_anatomical_order() -> None:
    points = frontal_landmarks(bundled())
    assert (points - points[MIRRORED_68] * torch.tensor([-1.0, 1.0, 1.0])).norm(dim=-1).max() < 2.5e-3
    x, y = points[:, 0], points[:, 1]
    assert (x[:16] < x[1:17]).all(), "the jaw runs from the image's left to its right"
    assert y[8] == y[:17].min(), "the chin is the lowest jaw point"
    assert (y[17:27] > y[36:48].max()).all(), "brows above eyes"
    assert y[36:48].min() > y[31:36].max() > y[48:68].max(), "eyes, nostrils, mouth from top to bottom"
    assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]]).all(), "upper lids above lower lids"
    assert points[30, 2] > points[[27, 28, 29, 33], 2].max(), "the nose's tip stands out"


def test_points_of_the_jaw_are_evenly_spaced_as_seen_from_the_front() -> None:
    steps = frontal_landmarks(bundled())[:17, :2].diff(dim=0).norm(dim=-1)
    assert steps.max() / steps.min() < 1.06


def test_opening_the_jaw_parts_the_inner_lips_and_drops_the_chin() -> None:
    model = bundled()
    strengths = torch.zeros(1, 52)
    strengths[0, model.expression_names.index("jawOpen")] = 1.0
    opened = model.landmarks(model.vertices(torch.zeros(1, 80), strengths), torch.eye(3)[None])[0]
    closed = frontal_landmarks(model)
    gap = (opened[61:64, 1] - opened[[67, 66, 65], 1]) - (closed[61:64, 1] - closed[[67, 66, 65], 1])
    assert (gap > 0.01).all()
    assert closed[8, 1] - opened[8, 1] > 0.008
    assert (opened[27:31] - closed[27:31]).norm(dim=-1).max() < 2e-3


def test_left_actions_move_the_image_right() -> None:
    model = bundled()
    moved = model.expression_basis[model.expression_names.index("eyeBlinkLeft")].norm(dim=-1)
    assert float((moved * model.mean[:, 0]).sum() / moved.sum()) > 0.02


@pytest.mark.parametrize("yaw", [-50.0, 50.0])
def test_far_jaw_contour_follows_the_silhouette(yaw: float) -> None:
    model = bundled()
    rotation = euler_to_matrix(torch.tensor([yaw]), torch.zeros(1), torch.zeros(1))
    turned = (model.landmarks(model.mean[None], rotation) @ rotation.mT)[0]
    fixed = (frontal_landmarks(model) @ rotation[0].T)[:17]
    forward = float(rotation[0, 0, 2])
    far = slice(1, 7) if forward < 0 else slice(10, 16)
    outward = -1.0 if forward < 0 else 1.0
    gained = (turned[:17, 0][far] - fixed[far, 0]) * outward
    assert gained.min() > -1e-4 and gained.mean() > 0.01


def test_shape_prior_has_unit_variance_modes_in_falling_order() -> None:
    model = bundled()
    face = (model.regions == 0) & (model.mean[:, 2] > 0)
    effect = model.shape_basis[:, face].square().sum(-1).mean(-1).sqrt()
    assert effect[0] > 1e-3 > effect[-1] > 1e-5


def test_albedo_is_clamped_and_examples_look_like_the_prior() -> None:
    model = bundled()
    colours = model.albedo(torch.randn(4, 80) * 3)
    assert colours.min() >= 0 and colours.max() <= 1
    assert model.albedo_examples.mean(0).abs().max() < 0.1
    assert (model.albedo_examples.std(0) - 1).abs().max() < 0.1


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    model = bundled()
    model.save(tmp_path / "copy.safetensors")
    again = FaceModel.load(tmp_path / "copy.safetensors")
    assert again.expression_names == model.expression_names
    assert torch.equal(again.shape_basis, model.shape_basis)
    assert again.sha256 == FaceModel.load(tmp_path / "copy.safetensors").sha256


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no face model"):
        FaceModel.load(tmp_path / "missing.safetensors")
    save_file({"mean": torch.zeros(3, 3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="not a face model"):
        FaceModel.load(tmp_path / "other.safetensors")
    assert PATH.is_file()
