"""Error measures on cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facegpt.evaluation.geometry import (
    LANDMARK_PARTS,
    angle_error,
    coefficient_error,
    landmark_box_error,
    landmark_nme,
    rotation_error,
    surface_error,
)
from facegpt.rendering import axis_angle_to_matrix
from facegpt.rendering.psnr import psnr


def faces(count: int) -> torch.Tensor:
    points = 100 * torch.rand(count, 68, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points[:, 36] = torch.tensor([20.0, 50.0])
    points[:, 45] = torch.tensor([70.0, 50.0])
    return points


def test_a_shift_of_a_tenth_of_the_eye_distance_is_an_nme_of_a_tenth() -> None:
    target = faces(3)
    shift = torch.tensor([3.0, 4.0])  # 5 px of 50
    error = landmark_nme(target + shift, target)
    torch.testing.assert_close(error.per_face, torch.full((3,), 0.1).double())
    assert error.mean == pytest.approx(0.1)
    assert error.parts == pytest.approx(dict.fromkeys(LANDMARK_PARTS, 0.1))


def test_nme_does_not_depend_on_the_size_of_the_picture() -> None:
    target = faces(2)
    guess = target + torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    assert landmark_nme(guess * 7, target * 7).mean == pytest.approx(landmark_nme(guess, target).mean)


@pytest.mark.parametrize("part", LANDMARK_PARTS)
def test_a_part_takes_its_own_points_alone(part: str) -> None:
    target = faces(2)
    guess = target.clone()
    guess[:, LANDMARK_PARTS[part]] += torch.tensor([0.0, 10.0])
    error = landmark_nme(guess, target)
    assert error.parts == pytest.approx({name: 0.2 * (name == part) for name in LANDMARK_PARTS})
    width = LANDMARK_PARTS[part].stop - LANDMARK_PARTS[part].start
    assert error.mean == pytest.approx(0.2 * width / 68)


def test_the_parts_are_all_68_points_once() -> None:
    points = [index for part in LANDMARK_PARTS.values() for index in range(68)[part]]
    assert points == list(range(68))


def test_landmarks_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        landmark_nme(torch.zeros(1, 51, 2), torch.zeros(1, 51, 2))
    with pytest.raises(ValueError, match="N >= 1"):
        landmark_nme(torch.zeros(0, 68, 2), torch.zeros(0, 68, 2))
    with pytest.raises(ValueError, match="coincide"):
        landmark_nme(faces(1), torch.zeros(1, 68, 2))
    with pytest.raises(ValueError, match="must agree"):
        landmark_nme(faces(1), faces(2))


def test_angles_differ_the_short_way_round() -> None:
    error = angle_error(np.array([[179.0, 10.0, -170.0]]), np.array([[-179.0, 25.0, 170.0]]))
    torch.testing.assert_close(error, torch.tensor([[2.0, 15.0, 20.0]]).double())


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 12.0, 90.0, 180.0])
def test_rotation_error_is_the_angle_between(degrees: float) -> None:
    generator = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=-1)
    base = axis_angle_to_matrix(torch.randn(5, 3, generator=generator, dtype=torch.float64))
    turned = base @ axis_angle_to_matrix(axis * math.radians(degrees))
    expected = torch.full((5,), degrees, dtype=torch.float64)
    torch.testing.assert_close(rotation_error(turned, base), expected, rtol=1e-6, atol=1e-5)


def test_guessing_the_mean_has_an_error_of_one_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(4000, 20, generator=generator)
    assert coefficient_error(torch.zeros_like(shape), shape).mean() == pytest.approx(1, abs=0.02)
    expression = torch.rand(4000, 5, generator=generator) * torch.tensor([1.0, 0.1, 0.5, 0.0, 2.0])
    guess = expression.mean(dim=0).expand_as(expression)
    error = coefficient_error(guess, expression, expression.var(dim=0))
    assert error.shape == (4000,)
    assert error.mean() == pytest.approx(1, abs=0.02)
    assert coefficient_error(expression, expression, expression.var(dim=0)).max() == 0


def test_coefficients_that_never_vary_are_refused() -> None:
    with pytest.raises(ValueError, match="no coefficient varies"):
        coefficient_error(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))


def test_surface_error_ignores_place_turn_and_size_and_nothing_else() -> None:
    target = torch.randn(3, 90, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    turn = torch.linalg.matrix_exp(
        torch.tensor([[0.0, -0.4, 0.1], [0.4, 0.0, 0.2], [-0.1, -0.2, 0.0]]).double()
    )
    moved = 1.7 * target @ turn.T + torch.tensor([0.1, -2.0, 0.3])
    assert torch.allclose(surface_error(moved, target), torch.zeros(3).double(), atol=1e-12)
    reflected = target * torch.tensor([-1.0, 1, 1])
    assert surface_error(reflected, target).min() > 0.1, "a reflection is no motion of a head"
    noise = 1e-3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    found = surface_error(target + noise, target)
    assert torch.allclose(found, noise.double().square().sum(-1).mean(1), rtol=0.15)


def test_psnr_counts_the_mask_alone() -> None:
    target = torch.full((2, 3, 8, 8), 0.5)
    guess = target.clone()
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    guess[:, :, 2:6, 2:6] += 0.1
    guess[:, :, 0] = 1.0  # outside
    torch.testing.assert_close(psnr(guess, target, mask), torch.full((2,), 20.0).double(), rtol=1e-5, atol=0)


def test_psnr_of_equal_pictures_and_of_nothing() -> None:
    target = np.full((2, 3, 4, 4), 0.5)
    mask = np.zeros((2, 4, 4), dtype=bool)
    mask[0] = True
    equal, nothing = psnr(target, target, mask)
    assert torch.isinf(equal)
    assert equal > 0
    assert torch.isnan(nothing)


def test_box_error_is_of_the_box_of_the_points_and_survives_a_profile() -> None:
    target = torch.zeros(1, 68, 2)
    target[0, 0], target[0, 1] = torch.tensor([0.0, 0.0]), torch.tensor([40.0, 90.0])  # sqrt(40 * 90) = 60
    assert landmark_box_error(target + torch.tensor([3.6, 4.8]), target).tolist() == pytest.approx([0.1])
    with pytest.raises(ValueError, match="no extent"):
        landmark_box_error(target, torch.zeros(1, 68, 2))
