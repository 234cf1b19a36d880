"""Errors of a conversion: distances of converted faces from their originals, in millimetres."""

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
"""Probability of each action in a random face; its strength is uniform in 0..1."""


@dataclass(frozen=True)
class Errors:
    """The distances in mm, (faces, points), from the source's visible skin to the surface that stands for it."""

    converted: F64
    mean_face: F64

    def figures(self, name: str) -> dict[str, float]:
        """Computes mean, median and 95th percentile of all points of all faces, and of the mean face."""
        by_name = {}
        for prefix, values in ((name, self.converted), (f"{name}_mean_face", self.mean_face)):
            by_name[f"{prefix}_mean_mm"] = float(values.mean())
            by_name[f"{prefix}_median_mm"] = float(np.median(values))
            by_name[f"{prefix}_p95_mm"] = float(np.percentile(values, 95))
        return by_name


def random_faces(model: FaceModel, count: int, seed: int, expressive: bool = True) -> tuple[Tensor, Tensor]:
    """Draws shapes (B,S) and expressions (B,E) from the model's prior; of actions a few at a time, of any strength."""
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
    """Measures distances from every `every`-th visible vertex of the source to the skin of the converted face.

    The converted face stands where the mapping puts it. The target's mean face, with which it is compared, is put by
    the best similarity for each single face, over corresponding points: if anything, that favours the mean face.
    """
    shape, expression = faces
    mapping.check(source, target)
    target_face, source_face = Face.of(target), Face.of(source)
    points = np.flatnonzero(source_face.visible)[::every]
    truth = source.vertices(shape, expression).double().numpy()
    made = placed(target, mapping(shape, expression)).double().numpy()
    converted, plain = [], []
    for true_vertices, converted_vertices in zip(truth, made, strict=True):
        converted.append(
            Surface(converted_vertices, target_face.skin).closest(true_vertices[points]).distance
        )
        places = (true_vertices[between.source] * between.weights[..., None]).sum(1)
        scale, turn, shift = similarity(target_face.mean[between.target], places, between.area)
        plain.append(
            Surface(scale * target_face.mean @ turn.T + shift, target_face.skin)
            .closest(true_vertices[points])
            .distance
        )
    return Errors(1e3 * np.stack(converted), 1e3 * np.stack(plain))


def placed(target: FaceModel, converted: Converted) -> Tensor:
    """Moves vertices (B,V,3) of converted faces into the source's frame, metres."""
    vertices = target.vertices(converted.shape, converted.expression)
    turned = vertices @ converted.rotation.mT
    return converted.scale[:, None, None] * turned + converted.translation[:, None]


def similarity(points: F64, targets: F64, weights: F64) -> tuple[float, F64, F64]:
    """Fits scale, rotation (3,3) and shift (3,) of points (N,3) onto targets (N,3) by weighted least squares (Umeyama
    1991).
    """
    share = (weights / weights.sum())[:, None]
    centred, target_centred = points - (points * share).sum(0), targets - (targets * share).sum(0)
    u, values, v = np.linalg.svd((target_centred * share).T @ centred)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turn = u @ sign @ v
    scale = float((values * np.diag(sign)).sum() / (centred * centred * share).sum())
    return scale, turn, (targets * share).sum(0) - scale * turn @ (points * share).sum(0)
