"""How far a converted face is from the face it was made of, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegpt.morphable.conversion.face import F64, Face
from facegpt.morphable.conversion.mapping import Converted, Mapping
from facegpt.morphable.conversion.registration import Correspondence
from facegpt.morphable.face_model import ACTIONS, FaceModel
from facegpt.morphable.surface import Surface

ACTIVE = 0.1
"""How likely each action is in a random face; its strength is anything up to 1."""


@dataclass(frozen=True)
class Errors:
    """Distances in mm, (faces, points), from the source's visible skin to the surface that stands for it."""

    converted: F64
    mean_face: F64

    def figures(self, name: str) -> dict[str, float]:
        """Mean, median and 95th percentile over all points of all faces, and of the mean face for comparison."""
        found = {}
        for prefix, values in ((name, self.converted), (f"{name}_mean_face", self.mean_face)):
            found[f"{prefix}_mean_mm"] = float(values.mean())
            found[f"{prefix}_median_mm"] = float(np.median(values))
            found[f"{prefix}_p95_mm"] = float(np.percentile(values, 95))
        return found


def random_faces(model: FaceModel, count: int, seed: int, expressive: bool = True) -> tuple[Tensor, Tensor]:
    """Shapes (B,S) and expressions (B,E) drawn from the model's prior; actions: few at a time, of any strength."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randn(count, model.n_shape, generator=generator)
    if not expressive:
        return shape, torch.zeros(count, model.n_expression)
    if model.expression_unit == ACTIONS:
        on = torch.rand(count, model.n_expression, generator=generator) < ACTIVE
        return shape, on * torch.rand(count, model.n_expression, generator=generator)
    return shape, torch.randn(count, model.n_expression, generator=generator)


def measure(
    mapping: Mapping,
    source: FaceModel,
    target: FaceModel,
    between: Correspondence,
    faces: tuple[Tensor, Tensor],
    every: int = 4,
) -> Errors:
    """Distances from every so many of the source's visible points to the nearest point of the converted face's skin.

    The converted face stands where the mapping puts it. The target's mean face, with which it is compared, is put by
    the best similarity for each single face, over corresponding points: if anything, that favours the mean face.
    """
    shape, expression = faces
    mapping.check(source, target)
    mine, other = Face.of(target), Face.of(source)
    points = np.flatnonzero(other.visible)[::every]
    truth = source.vertices(shape, expression).double().numpy()
    made = placed(target, mapping(shape, expression)).double().numpy()
    converted, plain = [], []
    for true, own in zip(truth, made, strict=True):
        converted.append(Surface(own, mine.skin).closest(true[points]).distance)
        where = (true[between.source] * between.weights[..., None]).sum(1)
        scale, turn, shift = similarity(mine.mean[between.target], where, between.area)
        plain.append(Surface(scale * mine.mean @ turn.T + shift, mine.skin).closest(true[points]).distance)
    return Errors(1e3 * np.stack(converted), 1e3 * np.stack(plain))


def placed(target: FaceModel, converted: Converted) -> Tensor:
    """Vertices (B,V,3) of converted faces in the source's frame, metres."""
    own = target.vertices(converted.shape, converted.expression)
    turned = own @ converted.rotation.mT
    return converted.scale[:, None, None] * turned + converted.translation[:, None]


def similarity(own: F64, other: F64, weights: F64) -> tuple[float, F64, F64]:
    """Scale, rotation (3,3), shift (3,) that take points (N,3) onto others: weighted least squares (Umeyama 1991)."""
    share = (weights / weights.sum())[:, None]
    a, b = own - (own * share).sum(0), other - (other * share).sum(0)
    u, values, v = np.linalg.svd((b * share).T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turn = u @ sign @ v
    scale = float((values * np.diag(sign)).sum() / (a * a * share).sum())
    return scale, turn, (other * share).sum(0) - scale * turn @ (own * share).sum(0)
