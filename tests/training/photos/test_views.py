"""One photo in two views: points and faces are carried from one to the other as the picture itself is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facegpt.morphable import Theta, bundled
from facegpt.rendering import render
from facegpt.synthetic.faces import render_faces
from facegpt.training.photos.crops import wide_side
from facegpt.training.photos.views import Change, View, degraded

SIZE = 112


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def upright(count: int) -> View:
    return View(torch.zeros(count), torch.ones(count), torch.zeros(count, 2))


@pytest.fixture(scope="module")
def theta() -> Theta:
    return render_faces(bundled(), seed=3, count=6, size=SIZE).theta


def landmarks(theta: Theta) -> torch.Tensor:
    """In crop widths, right and up from the middle."""
    pixels = render(bundled(), theta, SIZE).landmarks2d
    return (pixels - (SIZE - 1) / 2) / SIZE * torch.tensor([1.0, -1.0])


def test_the_upright_view_is_the_middle_of_the_wide_crop() -> None:
    wide = torch.rand(2, 3, wide_side(SIZE), wide_side(SIZE), generator=generator())
    edge = (wide_side(SIZE) - SIZE) // 2
    assert torch.allclose(upright(2).cut(wide, SIZE), wide[..., edge:-edge, edge:-edge], atol=1e-3)


def test_points_follow_the_picture() -> None:
    """A spot in the wide crop is found in both views where the change says."""
    side = wide_side(SIZE)
    wide = torch.zeros(1, 1, side, side)
    wide[..., 70:76, 92:98] = 1
    wide = torch.nn.functional.avg_pool2d(wide, 5, 1, 2).expand(-1, 3, -1, -1)
    one = View(torch.tensor([0.3]), torch.tensor([0.9]), torch.tensor([[0.05, -0.02]]))
    other = View(torch.tensor([-0.2]), torch.tensor([1.15]), torch.tensor([[-0.04, 0.03]]))
    line = (torch.arange(SIZE) - (SIZE - 1) / 2) / SIZE
    spots = []
    for view in (one, other):
        mass = view.cut(wide, SIZE)[0, 0]
        spots.append(torch.stack([(mass.sum(0) * line).sum(), -(mass.sum(1) * line).sum()]) / mass.sum())
    carried = Change.between(one, other).points(spots[0][None, None])[0, 0]
    assert float((carried - spots[1]).norm()) * SIZE < 0.3
    assert float((spots[0] - spots[1]).norm()) * SIZE > 3


def test_a_turned_picture_is_a_turned_head(theta: Theta) -> None:
    angle = torch.linspace(-0.6, 0.6, len(theta))
    change = Change(angle, torch.ones(len(theta)), torch.zeros(len(theta), 2))
    off = landmarks(change.theta(theta))[:, 17:] - change.points(landmarks(theta))[:, 17:]
    assert float(off.norm(dim=-1).max()) * SIZE < 0.01


def test_zoom_and_shift_move_the_head(theta: Theta) -> None:
    count = len(theta)
    change = Change.between(upright(count), View.draw(count, 1.0, generator(1)))
    moved = landmarks(change.theta(theta))[:, 17:]
    off = (moved - change.points(landmarks(theta))[:, 17:]).norm(dim=-1) * SIZE
    still = (moved - landmarks(theta)[:, 17:]).norm(dim=-1) * SIZE
    assert float(off.mean()) < 0.5 < 3 < float(still.mean())


def test_there_and_back_is_nothing(theta: Theta) -> None:
    count = len(theta)
    one, other = View.draw(count, 1.0, generator(2)), View.draw(count, 1.0, generator(3))
    back = Change.between(other, one).theta(Change.between(one, other).theta(theta))
    assert torch.allclose(back.rotation, theta.rotation, atol=1e-4)
    assert torch.allclose(back.translation, theta.translation, atol=1e-4)
    assert torch.equal(replace(back, rotation_vector=theta.rotation_vector).shape, theta.shape)


def test_a_worse_picture_is_a_picture_and_the_same_each_time() -> None:
    images = torch.rand(8, 3, SIZE, SIZE, generator=generator())
    worse = degraded(images, generator(1))
    assert worse.shape == images.shape and float(worse.min()) >= 0 and float(worse.max()) <= 1
    assert torch.equal(worse, degraded(images, generator(1)))
    assert bool((worse - images).abs().flatten(1).mean(1).gt(0.01).all())
