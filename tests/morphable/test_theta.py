"""Theta: flat and split are inverses, the rotation is Rodrigues', and annotations become a batch again."""

from __future__ import annotations

import numpy as np
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


def test_annotated_faces_become_a_batch_with_their_rotations() -> None:
    theta = Theta.split(torch.randn(3, 245, generator=torch.Generator().manual_seed(2)), 80, 52, 80)
    blocks = ("shape", "expression", "albedo", "lighting", "translation")
    annotations = [
        {name: getattr(theta, name)[i].numpy() for name in blocks} | {"rotation": theta.rotation[i].numpy()}
        for i in range(3)
    ]
    rows = [{name: np.ravel(value).tolist() for name, value in values.items()} for values in annotations]
    for batch in (Theta.from_annotations(annotations), Theta.from_annotations(rows)):
        assert torch.allclose(batch.rotation, theta.rotation, atol=1e-5)
        assert all(torch.equal(getattr(batch, name), getattr(theta, name)) for name in blocks)
