"""Thin-plate splines and faces laid flat."""

from __future__ import annotations

import torch

from facegpt.model.tower.unwrap import Unwrap, thin_plate


def places(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))


def test_a_spline_without_stiffness_goes_through_its_anchors() -> None:
    anchors = places(12, 0)
    assert torch.allclose(thin_plate(anchors, anchors, 0), torch.eye(12), atol=1e-4)


def test_a_spline_leaves_straight_what_is_straight() -> None:
    anchors, elsewhere = places(12, 1), places(30, 2)
    straight = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    for stiffness in (0.0, 0.1, 10.0):
        weights = thin_plate(anchors, elsewhere, stiffness)
        assert torch.allclose(weights @ (anchors @ straight + 1), elsewhere @ straight + 1, atol=1e-4)


def test_stiffness_smooths() -> None:
    anchors = places(40, 3)
    noise = torch.randn(40, 1, generator=torch.Generator().manual_seed(4))
    rough, smooth = (thin_plate(anchors, anchors, stiffness) @ noise for stiffness in (0.0, 1.0))
    assert smooth.std() < 0.7 * rough.std()


def test_a_map_shows_the_picture_at_its_places_and_carries_values() -> None:
    unwrap = Unwrap(4, 2)
    unwrap.weights.copy_(torch.eye(4))
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 1, 6] = 1
    # Cells run along rows; u to the right, v up.
    corners = torch.tensor([[[-0.2, 0.2], [2.5 / 8, 2.5 / 8], [-0.2, -0.2], [0.2, -0.2]]])
    flat = unwrap(image, corners, torch.tensor([[[1.0], [2], [3], [4]]]))
    assert torch.allclose(flat[0, 0], torch.tensor([[0.0, 1], [0, 0]]), atol=1e-5)
    assert torch.allclose(flat[0, 1], torch.tensor([[1.0, 2], [3, 4]]))
