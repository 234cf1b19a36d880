"""The pinhole's numbers, worked by hand."""

from __future__ import annotations

import pytest
import torch

from facegpt.rendering import Camera, axis_angle_to_matrix, to_camera


def test_the_axis_meets_the_middle_of_the_crop() -> None:
    pixels, depth = Camera(112).project(torch.tensor([[[0.0, 0, -0.9]]]))
    torch.testing.assert_close(pixels, torch.tensor([[[55.5, 55.5]]]))
    torch.testing.assert_close(depth, torch.tensor([[0.9]]))


def test_right_is_right_and_up_is_up() -> None:
    pixels, _ = Camera(112).project(torch.tensor([[[0.1, 0.05, -0.9]]]))
    torch.testing.assert_close(pixels, torch.tensor([[[55.5 + 56, 55.5 - 28]]]))  # 4.5 * 112 * 0.1 / 0.9 = 56


def test_a_crop_of_another_size_shows_the_same_picture() -> None:
    point = torch.tensor([[[0.04, -0.07, -0.8]]])
    small, large = (Camera(size).project(point)[0] for size in (112, 224))
    torch.testing.assert_close((large + 0.5) / 2, small + 0.5)  # in pixel edges' coordinates


def test_each_face_may_have_its_own_focal_length() -> None:
    points = torch.tensor([[[0.1, 0.0, -1.0]], [[0.1, 0.0, -1.0]]])
    pixels, _ = Camera(100, torch.tensor([2.0, 4.0])).project(points)
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([69.5, 89.5]))


def test_a_point_in_the_camera_has_finite_gradients() -> None:
    points = torch.zeros(1, 1, 3, requires_grad=True)
    Camera(10).screen(points).sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_to_camera_turns_then_moves() -> None:
    quarter = axis_angle_to_matrix(torch.tensor([[0.0, torch.pi / 2, 0]]))
    moved = to_camera(torch.tensor([[[0.0, 0, 1]]]), quarter, torch.tensor([[0.0, 0, -5]]))
    torch.testing.assert_close(moved, torch.tensor([[[1.0, 0, -5]]]))


def test_a_crop_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Camera(0)
