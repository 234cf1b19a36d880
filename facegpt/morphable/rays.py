"""Intersection of horizontal rays from the head's axis with the face, for the contour of the jaw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

NEAREST_HIT = 0.02
"""Metres from the axis; hits that are nearer belong to the inside of the mouth."""


def outermost(corners: F64, triangles: I64, axis: F64, angle: float) -> tuple[float, I64, F64] | None:
    """Finds the farthest hit of the ray from `axis` in the plane z = axis[2] towards `angle` (radians from x to y).

    Args:
        corners: (F,3,3) metres, the triangles' corners.
        triangles: (F,3) their vertices.
        axis: (3,) metres, where the ray starts.

    Returns:
        Distance, vertex ids (3,) and barycentric coordinates (3,); None where nothing is hit. Moeller and Trumbore,
        "Fast, minimum storage ray-triangle intersection", 1997.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    direction = np.array([np.cos(angle), np.sin(angle), 0])
    e1, e2 = b - a, c - a
    p = np.cross(direction, e2)
    determinant = (e1 * p).sum(1)
    safe = np.where(np.abs(determinant) < 1e-14, 1, determinant)
    s = axis - a
    u = (s * p).sum(1) / safe
    q = np.cross(s, e1)
    v = (q @ direction) / safe
    t = (e2 * q).sum(1) / safe
    inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9)
    hit = (np.abs(determinant) >= 1e-14) & inside & (t > NEAREST_HIT)
    if not hit.any():
        return None
    index = np.flatnonzero(hit)[np.argmax(t[hit])]
    weights = np.array([1 - u[index] - v[index], u[index], v[index]])
    return float(t[index]), triangles[index], weights
