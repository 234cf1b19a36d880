"""A subset of a face model's points, for losses and measures: landmarks, jaw candidates and a sample of the skin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import loss_area
from facegpt.rendering import vertex_normals


class LossPoints(nn.Module):
    """A face model reduced to P = 51 + 17 K + `skin` points: iBUG 17-67, jaw candidates, then vertices of `loss_area`.

    Evaluating ~600 points instead of all vertices makes the geometric losses of a batch cheap on a CPU.
    """

    mean: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    skin_albedo_mean: Tensor
    skin_albedo_basis: Tensor
    skin_normals: Tensor
    jaw_directions: Tensor

    def __init__(self, model: FaceModel, skin: int = 300, seed: int = 0) -> None:
        super().__init__()
        candidates = loss_area(model).nonzero()[:, 0]
        order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
        vertices = candidates[order[:skin]]
        self.rows, self.candidates = model.jaw_vertices.shape[:2]
        self.skin = len(vertices)

        def at_points(values: Tensor) -> Tensor:
            inner = (values[..., model.landmark_vertices, :] * model.landmark_weights[..., None]).sum(-2)
            jaw = (values[..., model.jaw_vertices, :] * model.jaw_weights[..., None]).sum(-2).flatten(-3, -2)
            return torch.cat([inner, jaw, values[..., vertices, :]], -2)

        normals = vertex_normals(model.mean[None], model.triangles)[0]
        self.register_buffer("mean", at_points(model.mean))
        self.register_buffer("shape_basis", at_points(model.shape_basis).flatten(1))
        self.register_buffer("expression_basis", at_points(model.expression_basis).flatten(1))
        self.register_buffer("skin_albedo_mean", model.albedo_mean[vertices])
        self.register_buffer("skin_albedo_basis", model.albedo_basis[:, vertices].flatten(1))
        self.register_buffer("skin_normals", normals[vertices])
        self.register_buffer("jaw_directions", model.jaw_directions)

    def points(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Computes the points (B,P,3), metres in the head's frame, of shape (B,S) and expression (B,E)."""
        flat = shape @ self.shape_basis + expression @ self.expression_basis
        points: Tensor = self.mean + flat.unflatten(-1, (-1, 3))
        return points

    def jaw_choice(self, points: Tensor, rotation: Tensor) -> Tensor:
        """Chooses the jaw candidate (B,17) that lies farthest out in the image, as `FaceModel.landmarks` does."""
        rows = points[:, 51 : 51 + self.rows * self.candidates].unflatten(1, (self.rows, self.candidates))
        turned = torch.einsum("bij,brkj->brki", rotation, rows)[..., :2]
        outward = torch.einsum("bij,rj->bri", rotation, self.jaw_directions)[..., :2]
        return torch.einsum("brki,bri->brk", turned, outward).argmax(-1)

    def landmarks(self, points: Tensor, choice: Tensor) -> Tensor:
        """Selects the 68 landmarks (B,68,3) among `points` (B,P,3), with jaw candidates `choice` (B,17)."""
        rows = points[:, 51 : 51 + self.rows * self.candidates].unflatten(1, (self.rows, self.candidates))
        jaw = rows.gather(2, choice[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)
        return torch.cat([jaw, points[:, :51]], 1)

    def skin_albedo(self, coefficients: Tensor) -> Tensor:
        """Computes the albedo (B,skin,3) of the skin points, linear RGB, of coefficients (B,A)."""
        flat = coefficients @ self.skin_albedo_basis
        colours: Tensor = self.skin_albedo_mean + flat.unflatten(-1, (-1, 3))
        return colours
