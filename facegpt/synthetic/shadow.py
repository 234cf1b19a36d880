"""The shadow of a head and its body on the head: under the chin, beside the nose, in the sockets of the eyes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import region
from facegpt.rendering import rasterize, sh_basis, vertex_normals

DIRECTIONS = 160
LOBES = (3.141593, 2.094395, 0.785398)
"""Factors of the cosine lobe by band (Ramamoorthi and Hanrahan, SIGGRAPH 2001, eq. 8)."""
_BEHIND_LIPS = {"teeth": 0.3, "tongue": 0.6}
"""The mean face's closed mouth would hide these from all light; they receive directions of at least this z."""
_PIXELS = 256
_EXTENT = 0.24
_BIAS = 0.004
"""Metres by which something must be in front of a vertex to hide it: more than the step of a shadow map."""


@dataclass(frozen=True)
class SelfShadow:
    """The share of light from D directions (D,3), head frame, that reaches each of V vertices of the mean face.

    `open_` and `free` (V,D) are a direction's share in the irradiance, with and without head and body in the way.
    """

    directions: Tensor
    open_: Tensor
    free: Tensor

    def __call__(self, lighting: Tensor, rotation: Tensor) -> Tensor:
        """Computes the share (B,V), 0..1, that remains of the irradiance of `lighting` (B,27), camera frame, on heads
        turned by `rotation` (B,3,3).

        The light of each direction is that of the spherical harmonics before the cosine lobe, and never negative
        (precomputed radiance transfer, Sloan et al., SIGGRAPH 2002, with the directions summed as they are).
        """
        lobes = torch.tensor([LOBES[band] for band in (0, 1, 1, 1, 2, 2, 2, 2, 2)])
        grey = lighting.view(-1, 9, 3).mean(-1) / lobes
        in_camera = torch.einsum("bij,dj->bdi", rotation, self.directions)
        radiance = (sh_basis(in_camera) @ grey[..., None])[..., 0].clamp(min=0)
        return (radiance @ self.open_.T + 1e-4) / (radiance @ self.free.T + 1e-4)


@cache
def self_shadow(model: FaceModel) -> SelfShadow:
    """Computes the visibility of the mean face from every direction; takes some seconds, once per model."""
    vertices, directions = model.mean, fibonacci_sphere(DIRECTIONS)
    normals = vertex_normals(vertices[None], model.triangles)[0]
    share = (normals @ directions.T).clamp(min=0) * (4 / DIRECTIONS)
    hidden = torch.stack([_hidden(model, direction) for direction in directions], 1)
    for name, frontal in _BEHIND_LIPS.items():
        if name in model.region_names:
            hidden[region(model, name)] = directions[:, 2] < frontal
    # Below the head is a body, which face models do not have.
    past_body = 0.25 + 0.75 * ((directions[:, 1] + 0.55) / 0.45).clamp(0, 1)
    return SelfShadow(directions, share * ~hidden * past_body, share)


def fibonacci_sphere(count: int) -> Tensor:
    """Spreads unit vectors (count,3) evenly over the sphere."""
    index = np.arange(count) + 0.5
    z, turn = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z**2)
    return torch.from_numpy(np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1).astype(np.float32))


def _hidden(model: FaceModel, direction: Tensor) -> Tensor:
    """Selects the vertices (V,) of the mean face that are occluded from far away in `direction`, by a shadow map."""
    helper = torch.eye(3)[int(direction.abs().argmin())]
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, direction), dim=0)
    up = torch.linalg.cross(direction, right)
    places = model.mean @ torch.stack([right, up, direction], 1)
    centre, scale = (_PIXELS - 1) / 2, (_PIXELS - 1) / 2 / _EXTENT
    # Far away, so that depth is linear over a triangle.
    screen = torch.stack(
        [centre + places[:, 0] * scale, centre - places[:, 1] * scale, 1000 - places[:, 2]], 1
    )
    fragments = rasterize(screen.double()[None], model.triangles, _PIXELS)
    nearest = torch.full((_PIXELS * _PIXELS,), torch.inf, dtype=torch.float64)
    nearest[fragments.pixel] = fragments.depth_values.double()
    column, row = screen[:, 0].round().long(), screen[:, 1].round().long()
    inside = (column >= 0) & (column < _PIXELS) & (row >= 0) & (row < _PIXELS)
    at = (row * _PIXELS + column).clamp(0, _PIXELS * _PIXELS - 1)
    return inside & (nearest[at] < screen[:, 2].double() - _BIAS)
