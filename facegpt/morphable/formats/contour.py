"""A jaw contour that follows the pose, for a model that comes with 17 fixed jaw points."""

from __future__ import annotations

import numpy as np

from facegpt.morphable.formats.raw import F64, I64, Point
from facegpt.morphable.rays import outermost

AXIS_Y = -0.045
"""Metres below the eyes: the axis around which the jaw's rows are laid, as in the bundled model."""
FRONT_Z, STEP = 0.045, 0.0015
CANDIDATES = 16
NARROWEST = 0.45
"""A candidate's distance from the axis, as a share of the jaw point's: further in it would lie on lips or nose."""


def jaw_rows(mean: F64, triangles: I64, jaw: list[Point]) -> tuple[I64, F64, F64]:
    """Finds candidates (17,K,3) for each jaw point as vertex ids and weights, and the directions (17,3) they lie in.

    A row starts at the model's own jaw point and runs over the skin to the front of the face, in the plane of the
    head's axis and that point (the rows of landmark marching, Zhu et al., CVPR 2015).

    Args:
        mean: (V,3) metres, this project's frame.
        triangles: (F,3) of the skin.
        jaw: the 17 points.
    """
    places = np.stack([(mean[ids] * weights[:, None]).sum(0) for ids, weights in jaw])
    across = places[:, :2] - np.array([0, AXIS_Y])
    radius = np.linalg.norm(across, axis=1)
    angles = np.arctan2(across[:, 1], across[:, 0])
    corners = mean[triangles]
    low, high = corners[..., 2].min(1), corners[..., 2].max(1)
    rows: list[list[Point]] = [[] for _ in jaw]
    for z in np.arange(float(places[:, 2].min()) + STEP, FRONT_Z, STEP):
        near = (low <= z) & (high >= z)
        for row, angle in enumerate(angles):
            if z <= places[row, 2]:
                continue
            hit = outermost(corners[near], triangles[near], np.array([0, AXIS_Y, z]), float(angle))
            if hit is not None and hit[0] > NARROWEST * radius[row]:
                rows[row].append(hit[1:])
    chosen = [_spread([point, *row]) for point, row in zip(jaw, rows, strict=True)]
    ids = np.array([[ids for ids, _ in row] for row in chosen], np.int64)
    weights = np.array([[weights for _, weights in row] for row in chosen])
    directions = np.concatenate([across / radius[:, None], np.zeros((len(jaw), 1))], 1)
    return ids, weights, directions


def _spread(points: list[Point]) -> list[Point]:
    """Picks `CANDIDATES` of the points, evenly by index."""
    return [points[k] for k in np.round(np.linspace(0, len(points) - 1, CANDIDATES)).astype(int)]
