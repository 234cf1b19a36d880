"""Heads with vertex colours as trimesh's meshes and as GLB files. Imports no torch, for processes that only write."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray


def to_trimesh(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]
) -> trimesh.Trimesh:
    """Makes one head: `vertices` (V, 3) in metres, y up, facing +z; `colours` (V, 3) linear RGB, opaque."""
    opaque = np.full((len(colours), 1), 255, np.uint8)
    return trimesh.Trimesh(vertices, triangles, vertex_colors=np.hstack([colours, opaque]), process=False)


def to_glb(vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> bytes:
    """Encodes the head of `to_trimesh` as binary glTF 2.0."""
    data = to_trimesh(vertices, triangles, colours).export(file_type="glb")
    assert isinstance(data, bytes)
    return data
