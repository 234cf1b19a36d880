"""A linear face model fitted to image points in closed form: one Gauss-Newton step from the mean face's pose."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.rendering import FOCAL_MULTIPLIER


def scaled_rotation(affine: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the scale (B,) and rotation (B,3,3) nearest to affine cameras (B,2,3): the polar factor of their rows."""
    gram = affine @ affine.mT
    root_determinant = torch.linalg.det(gram).clamp(min=1e-8).sqrt()
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    identity = torch.eye(2, device=affine.device)
    # The square root of a 2x2 matrix by the theorem of Cayley and Hamilton.
    root = (gram + root_determinant[:, None, None] * identity) / (trace + 2 * root_determinant).sqrt()[
        :, None, None
    ]
    rows = torch.linalg.solve(root, affine)
    rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    return root.diagonal(dim1=-2, dim2=-1).mean(-1), rotation


class PointFit(nn.Module):
    """The fit from points (B,K,2) and spreads (B,K), as `PointMaps` gives them, to features (B,N) of the fitted face.

    Points of small spread weigh more. The pose is that of the mean face under an affine camera corrected for
    perspective; shape, expression and a correction of the pose then minimise the weighted squared residual and their
    Gaussian priors (learned means and precisions). Features: shape, expression, camera (two rows of the rotation,
    scale, offset 2), its correction (rotation 3, scale, offset 2), and the residual (u, v) of each point.

    Buffers: `mean` (K,3) and `basis` (S+E,K,3), the anchors of the face model in metres.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, n_points: int, n_shape: int, n_expression: int) -> None:
        super().__init__()
        n = n_shape + n_expression
        self.register_buffer("mean", torch.zeros(n_points, 3))
        self.register_buffer("basis", torch.zeros(n, n_points, 3))
        self.log_weight = nn.Parameter(torch.zeros(n_points))
        expression = torch.arange(n) >= n_shape
        self.prior_mean = nn.Parameter(torch.where(expression, 0.08, 0.0))
        self.log_precision = nn.Parameter(torch.where(expression, 3.0, 0.0))

    @property
    def n_features(self) -> int:
        return len(self.basis) + 9 + 6 + 2 * len(self.mean)

    def forward(self, points: Tensor, spread: Tensor) -> Tensor:
        with torch.autocast(points.device.type, enabled=False):
            weight = self.log_weight.exp() / (spread.square() + 0.005**2)
            with torch.no_grad():
                camera = self._camera(points, weight)
            return self._step(points, weight, *camera)

    def rotation(self, features: Tensor) -> Tensor:
        """Reads the rotation (B,3,3) of the camera, before its correction, out of `features` (B,N)."""
        first = len(self.basis)
        rows = features[:, first : first + 6].unflatten(1, (2, 3)).detach()
        return torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)

    def _camera(self, points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fits scale (B,) in crop widths per metre, rotation (B,3,3) and offset (B,2) of the mean face."""
        homogeneous = torch.cat([20 * self.mean, torch.ones_like(self.mean[:, :1])], 1)
        weighted = (weight / weight.sum(1, keepdim=True))[..., None] * homogeneous
        normal = weighted.mT @ homogeneous + 1e-4 * torch.eye(4, device=points.device)
        flat = points
        for _ in range(2):
            solved = torch.linalg.solve(normal, weighted.mT @ flat)
            scale, rotation = scaled_rotation(20 * solved[:, :3].mT)
            scale = scale.clamp(1.0, 20.0)
            # Perspective moves near points outwards; without it the camera is a scaled orthographic one.
            depth = self.mean @ rotation[:, 2, :, None]
            flat = points * (1 - depth * scale[:, None, None] / FOCAL_MULTIPLIER)
        return scale, rotation, solved[:, 3]

    def _step(
        self, points: Tensor, weight: Tensor, scale: Tensor, rotation: Tensor, offset: Tensor
    ) -> Tensor:
        batch, count = points.shape[:2]
        turned = self.mean @ rotation.mT
        size, zero = scale[:, None, None], torch.zeros_like(turned[..., 0])
        flat = points * (1 - turned[..., 2:] * size / FOCAL_MULTIPLIER)
        x, y, z = turned.unbind(-1)
        about = torch.stack([torch.stack(pair, 1) for pair in ((zero, -z), (z, zero), (-y, x), (x, y))], 1)
        shifts = torch.eye(2, device=points.device)[None, ..., None].expand(batch, -1, -1, count)
        # All u of the points, then all v: planes of numbers that lie side by side take half the time of pairs.
        jacobian = torch.cat(
            [self._moved(points, scale, rotation), size[..., None] * about, shifts], 1
        ).flatten(2)
        start = torch.cat([self.prior_mean, self.prior_mean.new_zeros(6)])
        residual = (flat - size * turned[..., :2] - offset[:, None]).mT.flatten(1) - start @ jacobian
        precision = torch.cat(
            [self.log_precision.exp(), points.new_tensor([25.0, 25.0, 25.0, 100.0, 400.0, 400.0])]
        )
        scaled = jacobian * weight.repeat(1, 2)[:, None]
        normal = scaled @ jacobian.mT + torch.diag(precision)
        solution = torch.cholesky_solve(scaled @ residual[..., None], torch.linalg.cholesky(normal))
        unexplained = (residual - (jacobian.mT @ solution)[..., 0]).unflatten(1, (2, count)).mT.flatten(1)
        solved = solution[..., 0] + start
        camera = torch.cat([rotation[:, :2].flatten(1), scale[:, None], offset], 1)
        return torch.cat([solved[:, : len(self.basis)], camera, solved[:, len(self.basis) :], unexplained], 1)

    def _moved(self, points: Tensor, scale: Tensor, rotation: Tensor) -> Tensor:
        """Computes how the modes move the points, (B,S+E,2,K) in crop widths for u and v."""
        count, modes = points.shape[1], len(self.basis)
        # Perspective: u and v of a point change with its depth as well, in proportion to themselves.
        axes = self.basis.permute(2, 0, 1).flatten(1)
        turned = ((scale[:, None, None] * rotation) @ axes).view(-1, 3, modes, count)
        across = points.mT[:, :, None] / FOCAL_MULTIPLIER
        return torch.addcmul(turned[:, :2], across, turned[:, 2:]).transpose(1, 2)
