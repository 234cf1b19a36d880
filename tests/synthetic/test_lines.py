"""Lines drawn into a face lie where its lids, brows, lips and folds are, and on no side that is turned away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from facegpt.morphable import bundled
from facegpt.rendering import Camera, euler_to_matrix, to_camera
from facegpt.synthetic.lines import Shade, brows, eyelids, folds, lips

F32 = npt.NDArray[np.float32]
SIZE = 112
DRAWN = {"eyelids": (eyelids, range(36, 48)), "brows": (brows, range(17, 27)), "lips": (lips, range(48, 68))}


def landmarks(yaw: float = 0.0) -> F32:
    """The mean face's, px, turned by `yaw` degrees."""
    rotation = euler_to_matrix(torch.tensor([yaw]), torch.zeros(1), torch.zeros(1))
    places = bundled().landmarks(bundled().mean[None], rotation)
    points, _ = Camera(SIZE).project(to_camera(places, rotation, torch.tensor([[0.0, 0.04, -0.95]])))
    return np.asarray(points[0].numpy(), np.float32)


def many(draw: Callable[..., F32], points: F32) -> F32:
    return np.stack([draw(np.random.default_rng(seed), SIZE, points) for seed in range(20)])


@pytest.mark.parametrize("name", DRAWN)
def test_shade_lies_about_its_landmarks(name: str) -> None:
    draw, indices = DRAWN[name]
    points = landmarks()
    shade = many(draw, points)
    assert shade.shape == (20, SIZE, SIZE) and shade.min() >= 0 and shade.max() <= 0.95
    assert shade.reshape(20, -1).max(1).std() > 0.05
    rows, columns = np.nonzero(shade.max(0) > 0.1)
    off = np.linalg.norm(np.stack([columns, rows], 1)[:, None] - points[None, list(indices)], axis=-1).min(1)
    eye = float(np.linalg.norm(points[39] - points[36]))
    assert len(off) > 10 and off.max() < 1.2 * eye


def test_folds_run_from_the_nose_to_below_the_mouth_corners() -> None:
    points = landmarks()
    rows, columns = np.nonzero(many(folds, points).max(0) > 0.1)
    assert points[31, 1] - 8 < rows.min() and rows.max() < points[57, 1] + 8
    assert (np.abs(columns - points[33, 0]) > 0.2 * np.linalg.norm(points[54] - points[48])).all()


@pytest.mark.parametrize("draw", [eyelids, brows, folds])
def test_the_far_side_of_a_profile_stays_bare(draw: Callable[..., F32]) -> None:
    """What is hidden must not be drawn over the nose."""
    points = landmarks(75.0)
    left = [*range(17, 22), *range(31, 33), *range(36, 42), 48]
    right = [*range(22, 27), *range(34, 36), *range(42, 48), 54]
    far = left if np.ptp(points[36:42, 0]) < np.ptp(points[42:48, 0]) else right
    moved = points.copy()
    moved[far] -= 25
    assert many(draw, points).max() > 0.3
    assert np.array_equal(many(draw, points), many(draw, moved))


def test_points_outside_the_picture_are_cut_off() -> None:
    shade = Shade(16)
    shade.line(np.array([[-30.0, -30.0], [-20.0, -25.0]], np.float32), 2, 1.0, 0.5)
    assert shade.small().max() == 0
    shade.line(np.array([[-30.0, 8.0], [40.0, 8.0]], np.float32), 2, 1.0, 0.5)
    assert (shade.small()[8] > 0.9).all()
    assert shade.small()[:4].max() < 0.05
