"""The anchors: points of a face model that the small vision tower learns to find, and to which it fits the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.model.tower.trunk import FaceTrunk
from facegpt.model.tower.unwrap import thin_plate
from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import Skin, anchor_area, region
from facegpt.rendering import vertex_normals


def choose_anchors(model: FaceModel, count: int) -> Tensor:
    """Chooses points on the face, as (count,V) sparse weights of vertices: landmarks 17-67, pupils, and skin spread
    evenly between them.

    The spread is farthest-point sampling from those first points on, over the part of the head that photos show.
    """
    fixed = torch.zeros(len(model.landmark_vertices), model.n_vertices)
    fixed.scatter_add_(1, model.landmark_vertices, model.landmark_weights)
    rows = [fixed]
    for name in ("eye_front.L", "eye_front.R"):
        eye = region(model, name).nonzero()[:, 0]
        rows.append(_at(eye[model.mean[eye, 2].argmax()], model))
    chosen = torch.cat(rows)
    candidates = anchor_area(model).nonzero()[:, 0]
    places = model.mean[candidates]
    nearest = torch.cdist(places, chosen @ model.mean).min(1).values
    for _ in range(count - len(chosen)):
        best = nearest.argmax()
        rows.append(_at(candidates[best], model))
        nearest = torch.minimum(nearest, (places - places[best]).norm(dim=1))
    return torch.cat(rows)


def _at(vertex: Tensor, model: FaceModel) -> Tensor:
    """Makes the weights (1,V) of a single vertex."""
    row = torch.zeros(1, model.n_vertices)
    row[0, vertex] = 1
    return row


def set_anchors(trunk: FaceTrunk, model: FaceModel) -> None:
    """Sets the anchors of an untrained trunk: their mean places, how the modes move them, where they lie laid flat."""
    fit, unwrap = trunk.fit, trunk.unwrap
    weights = choose_anchors(model, len(fit.mean))
    basis = torch.cat([model.shape_basis, model.expression_basis])
    fit.mean.copy_(weights @ model.mean)
    fit.basis.copy_(torch.einsum("kv,nvd->nkd", weights, basis))
    flat = laid_flat(fit.mean, fit.mean)
    unwrap.weights.copy_(thin_plate(flat, _cells(flat, unwrap.side), stiffness=0.01))
    if trunk.albedo is not None:
        set_albedo(trunk, model)


@torch.no_grad()
def set_albedo(trunk: FaceTrunk, model: FaceModel) -> None:
    """Sets what the cells of a trunk's albedo fit show of `model`: the mean of what lies within a cell or two.

    Raises TypeError for a trunk without such a fit.
    """
    fit, anchors = trunk.albedo, trunk.fit.mean
    if fit is None:
        raise TypeError("a trunk without a fit of albedo")
    skin = Skin(model)
    normals = vertex_normals(model.mean[None], model.triangles)[0]
    front = (skin.weight > 0.05) & (normals[:, 2] > -0.2)
    vertices = laid_flat(model.mean[front], anchors)
    fine = _cells(laid_flat(anchors, anchors), trunk.unwrap.side).T.unflatten(1, (trunk.unwrap.side, -1))
    cells = nn.functional.adaptive_avg_pool2d(fine, fit.side).flatten(1).T
    reach = 0.75 * float((cells[1] - cells[0]).norm())
    near = torch.exp(-0.5 * (torch.cdist(cells, vertices) / reach).square())
    share = near / near.sum(1, keepdim=True).clamp(min=1e-6)
    fit.skin.copy_((share @ skin.weight[front]) * (near.sum(1) > 0.1))
    fit.normals.copy_(nn.functional.normalize(share @ normals[front], dim=1))
    fit.mean.copy_(share @ (model.albedo_mean[front] @ skin.luminance))
    fit.basis.copy_((model.albedo_basis[:, front] @ skin.luminance) @ share.T)
    cheeks = skin.cheeks
    mean = (model.albedo_mean[cheeks] @ skin.luminance).mean()
    fit.lightness.copy_((model.albedo_basis[:, cheeks] @ skin.luminance).mean(1) / mean)


def laid_flat(points: Tensor, anchors: Tensor) -> Tensor:
    """Unrolls points (N,3) of a head to (N,2) metres, from a cylinder about an upright axis that its `anchors` (K,3)
    set.

    The axis lies well behind the head's, so that the front of the face, where there is more to see, takes more room.
    """
    behind = 0.08 - anchors[:, 2].min()
    radius = (anchors[:, 2] + behind).mean()
    return torch.stack([torch.atan2(points[:, 0], points[:, 2] + behind) * radius, points[:, 1]], 1)


def _cells(flat: Tensor, side: int) -> Tensor:
    """Computes the cell centres (side * side, 2) of a map of points `flat` (K,2), row by row from the top."""
    lines = [
        torch.linspace(float(low), float(high), side)
        for low, high in zip(flat.amin(0), flat.amax(0), strict=True)
    ]
    y, x = torch.meshgrid(lines[1].flip(0), lines[0], indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)
