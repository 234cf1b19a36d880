"""Unwrapping: a face laid flat, so that each cell of the map shows the same place of every face."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def thin_plate(anchors: Tensor, places: Tensor, stiffness: float) -> Tensor:
    """Computes the weights (N,K) of values at `anchors` (K,2) in their thin-plate spline at `places` (N,2).

    A `stiffness` of 0 interpolates, a larger one smooths. The spline is linear in the values, so that its weights
    follow from the places alone (Duchon 1977; Wahba 1990, Spline Models for Observational Data, section 2.4).
    """
    scale = anchors.std()
    anchors, places = (anchors / scale).double(), (places / scale).double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = torch.cdist(a, b).square()
        return squared * squared.clamp(min=1e-12).log()

    def affine(points: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(points[:, :1]), points], 1)

    count = len(anchors)
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count] = kernel(anchors, anchors) + stiffness * torch.eye(count)
    system[:count, count:] = affine(anchors)
    system[count:, :count] = affine(anchors).T
    solution = torch.linalg.inv(system)[:, :count]
    weights: Tensor = torch.cat([kernel(places, anchors), affine(places)], 1) @ solution
    return weights.float()


class Unwrap(nn.Module):
    """The map from pictures (B,C,W,W), K points (B,K,2) in them, as `PointMaps` gives them, and values (B,K,D) at those
    points to faces laid flat (B,C+D,side*detail,side*detail): the picture's channels, less `mean` (B,C) and times
    `scale` (B,C) if these are given, then the values.

    Splines place side x side cells, `detail` divides them linearly: positions are smooth, and the weights of a spline
    at every fine cell would be most of a small model's size.
    """

    weights: Tensor

    def __init__(self, n_points: int, side: int, detail: int = 1) -> None:
        super().__init__()
        self.side, self.detail = side, detail
        self.register_buffer("weights", torch.zeros(side * side, n_points))

    def forward(
        self,
        images: Tensor,
        points: Tensor,
        values: Tensor,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        batch = len(points)
        with torch.autocast(points.device.type, enabled=False):
            # One product for all pictures: (B*(2+D),K) times (K,cells).
            known = torch.cat([points.float(), values.float()], -1).mT
            cells = (known.flatten(0, 1) @ self.weights.T).view(batch, -1, self.side, self.side)
            if self.detail > 1:
                cells = nn.functional.interpolate(cells, scale_factor=self.detail, mode="bilinear")
        positions, flat_values = cells.split([2, values.shape[-1]], 1)
        u, v = positions.unbind(1)
        grid = torch.stack([2 * u, -2 * v], -1)
        colours = nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        # Sampling is linear and its weights sum to 1: of the map fewer pixels are standardised than of the picture.
        if mean is not None:
            colours = colours - mean[..., None, None]
        if scale is not None:
            colours = colours * scale[..., None, None]
        return torch.cat([colours, flat_values], 1).contiguous(memory_format=torch.channels_last)
