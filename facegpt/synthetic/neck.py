"""The neck that a head model lacks: without one, every jaw would end against a background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import skin_of_head
from facegpt.rendering import vertex_normals

Rng = np.random.Generator
_RINGS = ((0.035, 0.96), (0.16, 1.25))
"""How far below the head's open end (metres) the neck's rings lie, and how wide they are against it."""


@dataclass(frozen=True)
class Neck:
    """A neck: two bands of triangles (F,3) below the open end of a head: vertices `loop` (N,) of the head, then two
    rings of N new ones, numbered from the head's vertex count on.

    `under` (V,1), 0..1, is how much a vertex of the head faces the throat: there it is dark on most photos.
    """

    loop: Tensor
    triangles: Tensor
    under: Tensor

    def joined(self, points: Tensor, rotation: Tensor, rng: Rng) -> Tensor:
        """Adds the rings of a neck below each head to `points` (B,V,3), camera frame: (B,V+2N,3).

        A neck follows a turned head (`rotation` (B,3,3)) part of the way, leans back and widens towards the shoulders.
        """
        end = points[:, self.loop]
        middle = end.mean(1, keepdim=True)
        count = len(points)
        follow = torch.from_numpy(rng.uniform(0.2, 0.9, (count, 1)).astype(np.float32))
        lean = torch.from_numpy(rng.uniform(-0.1, 0.5, count).astype(np.float32))
        width = torch.from_numpy(rng.uniform(0.85, 1.25, (count, 1, 1)).astype(np.float32))
        down = torch.stack([torch.zeros(count), -torch.ones(count), -lean], 1)
        along = follow * torch.einsum("bij,bj->bi", rotation, down) + (1 - follow) * down
        along = torch.nn.functional.normalize(along, dim=1)[:, None]
        flat = end - ((end - middle) * along).sum(-1, keepdim=True) * along
        rings = [middle + (flat - middle) * wide * width + along * depth for depth, wide in _RINGS]
        return torch.cat([points, *rings], 1)

    def extended(self, values: Tensor, times: Tensor | None = None) -> Tensor:
        """Repeats the values of the open end on both rings, scaled by `times` (B,2) if given: (B,V,C) to (B,V+2N,C)."""
        end = values[:, self.loop]
        if times is None:
            return torch.cat([values, end, end], 1)
        first, second = times[..., None, None].unbind(1)
        return torch.cat([values, end * first, end * second], 1)


@cache
def neck_of(model: FaceModel) -> Neck | None:
    """Builds the neck of `model`; None if its surface has no open end below the face."""
    triangles = model.triangles.numpy()
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops: list[list[int]] = []
    while following:
        loop = [next(iter(following))]
        while (after := following.pop(loop[-1], None)) is not None and after != loop[0]:
            loop.append(after)
        loops.append(loop)
    mouth = float(model.landmarks(model.mean[None], torch.eye(3)[None])[0, 62, 1])
    heights, skin = model.mean[:, 1].numpy(), skin_of_head(model)
    below_mouth = [loop for loop in loops if heights[loop].mean() < mouth and skin[loop].all()]
    if not below_mouth:
        return None
    end = np.asarray(max(below_mouth, key=len))
    onward = np.roll(np.arange(len(end)), -1)
    rows = [end, model.n_vertices + np.arange(len(end)), model.n_vertices + len(end) + np.arange(len(end))]
    bands = [
        np.concatenate(
            [
                np.stack([top[onward], top, below], 1),
                np.stack([top[onward], below, below[onward]], 1),
            ]
        )
        for top, below in pairwise(rows)
    ]
    down = -vertex_normals(model.mean[None], model.triangles)[0, :, 1]
    under = ((down - 0.2) / 0.5).clamp(0, 1) * ((mouth - 0.02 - model.mean[:, 1]) / 0.01).clamp(0, 1)
    return Neck(torch.from_numpy(end), torch.from_numpy(np.concatenate(bands)), under[:, None])
