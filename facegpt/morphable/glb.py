"""GLB files with vertex colours."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray


def to_glb(vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> bytes:
    """One head as binary glTF 2.0: `vertices` (V, 3) in metres, y up, facing +z; `colours` (V, 3) linear RGB."""
    opaque = np.full((len(colours), 1), 255, np.uint8)
    mesh = trimesh.Trimesh(vertices, triangles, vertex_colors=np.hstack([colours, opaque]), process=False)
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)
    return data
