"""Creases come with the action that folds the skin, on its side and in its place, and not with smooth skin at rest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch

from facegpt.morphable import bundled
from facegpt.rendering import Camera, euler_to_matrix, to_camera
from facegpt.synthetic.creases import creases
from facegpt.synthetic.faces import render_faces

F32 = npt.NDArray[np.float32]
SIZE, PEOPLE = 112, 40
# An action, a landmark that its creases are near, and the way from there in eye lengths (right, down).
PLACES = {
    "browInnerUp": (27, (0.0, -1.3)),
    "browOuterUpLeft": (25, (0.0, -0.8)),
    "browDownLeft": (27, (0.0, -0.4)),
    "eyeSquintLeft": (45, (0.4, 0.1)),
    "noseSneerRight": (31, (-0.2, 0.1)),
    "mouthSmileLeft": (54, (0.3, -0.2)),
    "mouthFrownRight": (48, (-0.1, 0.3)),
    "mouthShrugLower": (57, (0.0, 0.4)),
}


def landmarks(yaw: float = 0.0) -> F32:
    """The mean face's, px, turned by `yaw` degrees."""
    rotation = euler_to_matrix(torch.tensor([yaw]), torch.zeros(1), torch.zeros(1))
    places = bundled().landmarks(bundled().mean[None], rotation)
    points, _ = Camera(SIZE).project(to_camera(places, rotation, torch.tensor([[0.0, 0.04, -0.95]])))
    return np.asarray(points[0].numpy(), np.float32)


def people(points: F32, actions: Mapping[str, float]) -> F32:
    return np.stack([creases(np.random.default_rng(k), SIZE, points, actions) for k in range(PEOPLE)])


@pytest.mark.parametrize("action", PLACES)
def test_an_action_creases_its_own_place(action: str) -> None:
    points = landmarks()
    eye = float(np.linalg.norm(points[39] - points[36]))
    moved, still = people(points, {action: 1.0}), people(points, {})
    assert ((moved - still).min() >= -1e-6) and (moved - still).max() > 0.15
    weight = (moved - still).mean(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    middle = np.array([(weight * axis).sum() for axis in (columns, rows)]) / weight.sum()
    landmark, way = PLACES[action]
    assert np.linalg.norm(middle - points[landmark] - np.array(way) * eye) < 0.6 * eye


@pytest.mark.parametrize("action", ["browOuterUp", "eyeSquint", "noseSneer", "mouthSmile"])
def test_one_side_stays_smooth_while_the_other_acts(action: str) -> None:
    points = landmarks()
    column = round(float(points[27, 0]))
    still = people(points, {})
    right, left = (people(points, {f"{action}{side}": 1.0}) - still for side in ("Right", "Left"))
    assert right[..., :column].max() > 0.1 and right[..., column + 3 :].max() < 0.02
    assert left[..., column + 1 :].max() > 0.1 and left[..., : column - 2].max() < 0.02


def test_most_faces_have_no_creases_at_rest_and_some_have_none_ever() -> None:
    points = landmarks()
    everything = dict.fromkeys((*PLACES, "eyeSquintRight", "mouthSmileRight"), 1.0)
    still, moved = (people(points, actions).max((1, 2)) for actions in ({}, everything))
    assert 0.5 < (still == 0).mean() < 1
    assert 0 < (moved == 0).mean() < 0.3
    assert (people(points, dict.fromkeys(everything, 0.1)).max((1, 2)) == still).all()


def test_the_far_side_of_a_profile_stays_bare() -> None:
    points = landmarks(75.0)
    left = [*range(17, 22), 31, 32, *range(36, 42), 48]
    right = [*range(22, 27), 34, 35, *range(42, 48), 54]
    far = left if np.ptp(points[36:42, 0]) < np.ptp(points[42:48, 0]) else right
    moved = points.copy()
    moved[far] -= 25
    actions = dict.fromkeys(bundled().expression_names, 1.0)
    assert people(points, actions).max() > 0.3
    assert np.array_equal(people(points, actions), people(moved, actions))


def test_creases_darken_faces_and_change_nothing_else() -> None:
    dressed, bare = (
        render_faces(bundled(), 11, 32, 112, without=("camera", *out)) for out in ((), ("creases",))
    )
    change = dressed.images.astype(int) - bare.images
    assert change.min() < -15 and change.max() <= 1
    assert np.array_equal(dressed.landmarks2d, bare.landmarks2d)
