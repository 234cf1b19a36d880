"""The mirror: the rendering of a mirrored theta is the mirror image of the rendering."""

from __future__ import annotations

import torch

from facegpt.morphable import bundled
from facegpt.morphable.mirror import LANDMARKS, Mirror
from facegpt.rendering import linear_to_srgb, render
from facegpt.synthetic.faces import render_faces

SIZE = 112


def test_a_mirrored_theta_renders_the_mirror_image() -> None:
    model = bundled()
    theta = render_faces(model, seed=5, count=6, size=SIZE).theta
    mirrored = Mirror(model)(theta)
    one, other = render(model, theta, SIZE), render(model, mirrored, SIZE)
    both = one.mask & other.mask.flip(-1)
    assert both.sum() > 0.99 * one.mask.sum()
    difference = linear_to_srgb(one.image.clamp(0, 1)) - linear_to_srgb(other.image.clamp(0, 1)).flip(-1)
    # The albedo's mottle is not symmetric and its mirror image not quite in the model.
    assert float(difference.abs().mean(1)[both].mean()) < 0.02
    back = other.landmarks2d[:, LANDMARKS] * torch.tensor([-1.0, 1.0]) + torch.tensor([SIZE - 1.0, 0.0])
    distance = (back - one.landmarks2d).norm(dim=-1)
    assert float(distance[:, 17:].max()) < 0.6
    assert float(distance[:, :17].mean()) < 0.6


def test_mirroring_twice_changes_nothing_but_albedo() -> None:
    model = bundled()
    theta = render_faces(model, seed=6, count=3, size=SIZE).theta
    mirror = Mirror(model)
    twice = mirror(mirror(theta))
    for name in ("shape", "expression", "lighting", "rotation_vector", "translation"):
        assert torch.allclose(getattr(twice, name), getattr(theta, name), atol=1e-5), name


def test_every_landmark_has_one_counterpart() -> None:
    assert sorted(LANDMARKS) == list(range(68))
    assert [LANDMARKS[i] for i in LANDMARKS] == list(range(68))
