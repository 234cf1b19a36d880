"""Theta: flat and split are inverses, the rotation is Rodrigues'."""

from __future__ import annotations

import pytest
import torch

from facegpt.morphable import Theta
from facegpt.rendering import axis_angle_to_matrix


def test_split_is_the_inverse_of_flat() -> None:
    flat = torch.randn(3, 245, generator=torch.Generator().manual_seed(0))
    theta = Theta.split(flat, 80, 52, 80)
    assert torch.equal(theta.flat(), flat)
    assert len(theta) == 3 and theta[1:].shape.shape == (2, 80)
    assert torch.equal(Theta.concatenate([theta[:1], theta[1:]]).flat(), flat)


def test_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="the face model wants 245"):
        Theta.split(torch.zeros(1, 244), 80, 52, 80)


def test_rotation_matches_the_rendering_room() -> None:
    theta = Theta.split(torch.randn(5, 245, generator=torch.Generator().manual_seed(1)), 80, 52, 80)
    assert torch.allclose(theta.rotation, axis_angle_to_matrix(theta.rotation_vector), atol=1e-5)
