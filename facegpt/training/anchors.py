"""The points of a face model that the small vision tower learns to find, and that its fit explains."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.model.fit import PointFit
from facegpt.model.trunk import FaceTrunk
from facegpt.model.unwrap import thin_plate
from facegpt.morphable import FaceModel, Theta
from facegpt.rendering import FOCAL_MULTIPLIER, Camera, to_camera


def choose_anchors(model: FaceModel, count: int) -> Tensor:
    """(count,V) sparse weights of points on the face: landmarks 17-67, pupils, and skin spread evenly between them.

    The spread is farthest-point sampling from those first points on, over the part of the head that photos show.
    """
    fixed = torch.zeros(len(model.landmark_vertices), model.n_vertices)
    fixed.scatter_add_(1, model.landmark_vertices, model.landmark_weights)
    rows = [fixed]
    for name in ("eye_front.L", "eye_front.R"):
        eye = (model.regions == model.region_names.index(name)).nonzero()[:, 0]
        rows.append(_at(eye[model.mean[eye, 2].argmax()], model))
    chosen = torch.cat(rows)
    _, y, z = model.mean.unbind(1)
    head = model.regions == model.region_names.index("head")
    candidates = (head & (z > -0.03) & (y < 0.075) & (y > -0.125)).nonzero()[:, 0]
    places = model.mean[candidates]
    nearest = torch.cdist(places, chosen @ model.mean).min(1).values
    for _ in range(count - len(chosen)):
        best = nearest.argmax()
        rows.append(_at(candidates[best], model))
        nearest = torch.minimum(nearest, (places - places[best]).norm(dim=1))
    return torch.cat(rows)


def _at(vertex: Tensor, model: FaceModel) -> Tensor:
    """The weights (1,V) of a vertex alone."""
    row = torch.zeros(1, model.n_vertices)
    row[0, vertex] = 1
    return row


def set_anchors(trunk: FaceTrunk, model: FaceModel) -> None:
    """Tells an untrained trunk its points: their mean places, how the modes move them, where they lie laid flat."""
    fit, unwrap = trunk.fit, trunk.unwrap
    weights = choose_anchors(model, len(fit.mean))
    basis = torch.cat([model.shape_basis, model.expression_basis])
    fit.mean.copy_(weights @ model.mean)
    fit.basis.copy_(torch.einsum("kv,nvd->nkd", weights, basis))
    flat = laid_flat(fit.mean)
    lines = [
        torch.linspace(float(low), float(high), unwrap.side) for low, high in zip(*_bounds(flat), strict=True)
    ]
    y, x = torch.meshgrid(lines[1].flip(0), lines[0], indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    unwrap.weights.copy_(thin_plate(flat, places, stiffness=0.01))


def laid_flat(points: Tensor) -> Tensor:
    """(K,2) metres: points (K,3) of a head on a cylinder about an upright axis, unrolled.

    The axis lies well behind the head's, so that the front of the face, where there is more to see, takes more room.
    """
    depth = points[:, 2] - points[:, 2].min() + 0.08
    return torch.stack([torch.atan2(points[:, 0], depth) * depth.mean(), points[:, 1]], 1)


def _bounds(flat: Tensor) -> tuple[Tensor, Tensor]:
    return flat.amin(0), flat.amax(0)


def anchor_points(fit: PointFit, theta: Theta, perspective: Tensor) -> Tensor:
    """Where the points of faces (B) lie in their pictures: (B,K,2) in crop widths, u right and v up from the middle.

    `perspective` (B,) is the distance of the camera that took the picture, in units of theta's.
    """
    modes = torch.cat([theta.shape, theta.expression], 1) @ fit.basis.flatten(1)
    points = fit.mean + modes.unflatten(1, fit.mean.shape)
    distance = torch.stack([torch.ones_like(perspective), torch.ones_like(perspective), perspective], 1)
    camera = Camera(1, FOCAL_MULTIPLIER * perspective)
    pixels, _ = camera.project(to_camera(points, theta.rotation, theta.translation * distance))
    return pixels * pixels.new_tensor([1.0, -1.0])


def points_loss(points: Tensor, spread: Tensor, true: Tensor) -> Tensor:
    """Mean negative log likelihood (scalar) of points in the picture under a Laplace law as wide as their heat map."""
    inside = (true.abs() < 0.5).all(-1)
    error = (points - true).square().sum(-1).add(1e-8).sqrt()
    likelihood = error / spread + 2 * spread.log()
    return likelihood[inside].mean()
