"""Beards grow where beards grow, on some faces, and stand off the skin when they are long."""

from __future__ import annotations

import numpy as np
import torch

from facegpt.morphable import bundled
from facegpt.synthetic.beard import beard_grounds, grow_beards

SKIN = 0.5


def nearest(x: float, y: float) -> int:
    """The foremost vertex of the mean face at (x,y) metres."""
    mean = bundled().mean
    near = (mean[:, :2] - torch.tensor([x, y])).norm(dim=-1) < 0.005
    return int(torch.where(near, mean[:, 2], -torch.inf).argmax())


def test_grounds_are_around_the_mouth_and_along_the_jaw_alone() -> None:
    grounds = beard_grounds(bundled())
    under_nose, chin, jaw = nearest(0, -0.058), nearest(0, -0.105), nearest(0.05, -0.08)
    assert grounds.moustache[under_nose] > 0.7
    assert grounds.chin[chin] > 0.9
    assert grounds.cheeks[jaw] > 0.9
    bare = [
        nearest(0, 0.05),
        nearest(0, -0.03),
        nearest(0.033, -0.03),
        nearest(0, -0.068),
        nearest(0, -0.082),
    ]
    for part in (grounds.moustache, grounds.chin, grounds.cheeks):
        assert part[bare].max() < 0.05
        assert part.min() >= 0 and part.max() <= 1
        assert part[bundled().regions != 0].max() == 0


def test_grounds_are_the_same_on_both_sides() -> None:
    for x, y in ((0.05, -0.08), (0.015, -0.058), (0.02, -0.1)):
        for part in vars(beard_grounds(bundled())).values():
            assert abs(float(part[nearest(x, y)] - part[nearest(-x, y)])) < 0.1


def test_two_of_five_heads_get_one_and_the_long_ones_stand_off() -> None:
    albedo = torch.full((200, bundled().n_vertices, 3), SKIN)
    bearded, length = grow_beards(np.random.default_rng(0), bundled(), albedo)
    has = (bearded != albedo).flatten(1).any(1)
    assert 0.3 < has.float().mean() < 0.5
    assert (bearded > 0).all() and (bearded <= SKIN + 0.1).all()
    stands = length.flatten(1).amax(1)
    assert stands.max() <= 0.012 and (stands[~has] == 0).all()
    assert 0.02 < (stands > 0.001).float().mean() < 0.3
    forehead = nearest(0, 0.05)
    assert torch.equal(bearded[:, forehead], albedo[:, forehead])
