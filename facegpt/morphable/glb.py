"""Heads with vertex colours: as arrays, as trimesh's, as GLB files."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from facegpt.morphable.face_model import FaceModel


def coloured_heads(
    model: FaceModel, shape: Tensor, expression: Tensor, albedo: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Vertices (B, V, 3) in metres, in the head's frame, and linear RGB (B, V, 3) of coefficients (B, S), (B, E) and
    (B, A) on the model's device.
    """
    vertices = model.vertices(shape, expression).cpu().numpy()
    return vertices, (model.albedo(albedo) * 255).round().to(torch.uint8).cpu().numpy()


def to_trimesh(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]
) -> trimesh.Trimesh:
    """One head: `vertices` (V, 3) in metres, y up, facing +z; `colours` (V, 3) linear RGB, opaque."""
    opaque = np.full((len(colours), 1), 255, np.uint8)
    return trimesh.Trimesh(vertices, triangles, vertex_colors=np.hstack([colours, opaque]), process=False)


def to_glb(vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> bytes:
    """The head of `to_trimesh` as binary glTF 2.0."""
    data = to_trimesh(vertices, triangles, colours).export(file_type="glb")
    assert isinstance(data, bytes)
    return data
