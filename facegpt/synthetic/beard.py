"""Beards: where they grow on a head model, their colours and their length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import skin_of_head

F32 = npt.NDArray[np.float32]
Rng = np.random.Generator
_EYES = 0.092
"""Metres between the outer corners of the eyes on the head for which the lengths here are given."""


@dataclass(frozen=True)
class BeardGrounds:
    """The areas where a beard grows, each (V,) in 0..1: above the lips, on the chin, on cheeks and jaw."""

    moustache: Tensor
    chin: Tensor
    cheeks: Tensor


@cache
def beard_grounds(model: FaceModel) -> BeardGrounds:
    """Finds the areas of a face model by the landmarks of its mean face."""
    points = model.landmarks(model.mean[None], torch.eye(3)[None])[0].numpy()
    unit = float(np.linalg.norm(points[45] - points[36])) / _EYES
    x, y, z = (model.mean / unit).numpy().T
    points = points / unit
    aside = np.abs(x - points[33, 0])

    def outline(indices: list[int]) -> F32:
        across = np.abs(points[indices, 0] - points[33, 0])
        order = np.argsort(across)
        return np.asarray(np.interp(aside, across[order], points[indices, 1][order]), np.float32)

    def above(distance: npt.NDArray[np.floating], edge: float = 0.003) -> F32:
        return np.asarray(np.clip(distance / edge + 0.5, 0, 1), np.float32)

    upper, lower = outline([51, 52, 53, 54]), outline([57, 56, 55, 54])
    corner, nose, side = points[54], points[33], points[15]
    front = above(z - side[2] + 0.012, 0.012) * skin_of_head(model).numpy()
    below_nose = above(nose[1] + 0.001 - y)
    moustache = below_nose * above(y - upper - 0.001) * above(corner[0] + 0.006 - aside, 0.006)
    chin = above(lower - 0.003 - y) * above(corner[0] + 0.004 - aside, 0.008)
    beside = above(aside - corner[0] - 0.003, 0.006)
    line = np.interp(aside, [corner[0], side[0]], [corner[1] + 0.006, side[1] + 0.012])
    cheeks = np.maximum(beside, above(points[8, 1] + 0.008 - y, 0.008)) * above(line - y, 0.008)
    grounds = (torch.from_numpy(part * front) for part in (moustache, chin, cheeks))
    return BeardGrounds(*grounds)


def grow_beards(rng: Rng, model: FaceModel, albedo: Tensor) -> tuple[Tensor, Tensor]:
    """Draws beards on two of five heads; returns `albedo` (B,V,3), linear RGB, with them, and the distance (B,V,1) in
    metres of their surface from the skin.
    """
    grounds = beard_grounds(model)
    count, vertices = albedo.shape[:2]
    density, length = torch.zeros(count, vertices), torch.zeros(count, vertices)
    colour = torch.zeros(count, 1, 3)
    for i in range(count):
        kind = rng.choice(("none", "stubble", "full", "goatee", "moustache"), p=(0.6, 0.17, 0.13, 0.06, 0.04))
        thick = rng.uniform(0.1, 0.55) if kind == "stubble" else rng.uniform(0.5, 1.0)
        long = rng.uniform(0, 0.012) if kind in ("full", "goatee") and rng.random() < 0.6 else 0.0
        shares = rng.uniform(0.6, 1.0, 3)
        shade = np.exp(rng.uniform(np.log(0.015), np.log(0.4))) * np.array([1, 0.72, 0.5]) ** rng.uniform(
            0.1, 1.1
        )
        patches = rng.normal(size=vertices)
        if kind == "none":
            continue
        shares *= {"stubble": (1, 1, 1), "full": (1, 1, 1), "goatee": (1, 1, 0), "moustache": (1, 0, 0)}[kind]
        parts = torch.stack([grounds.moustache, grounds.chin, grounds.cheeks])
        ground = (parts * torch.from_numpy(shares.astype(np.float32))[:, None]).amax(0)
        rough = torch.from_numpy((1 + 0.2 * patches).astype(np.float32)).clamp(0.3, 1.5)
        density[i] = (ground * thick * rough).clamp(0, 1)
        length[i] = long * torch.maximum(grounds.chin, 0.6 * grounds.cheeks) * (shares[1] > 0)
        colour[i] = torch.from_numpy(shade.astype(np.float32))
    mixed = albedo + density[..., None] * (colour - albedo)
    return mixed, length[..., None]
