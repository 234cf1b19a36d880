"""Pictures of faces laid flat: every cell shows the same place of the face, wherever it was in the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def thin_plate(anchors: Tensor, places: Tensor, stiffness: float) -> Tensor:
    """Weights (N,K) of values at `anchors` (K,2) in their thin-plate spline at `places` (N,2).

    `stiffness` 0 goes through every anchor, more smooths. The values need not be known: the spline is linear in them
    (Duchon 1977; Wahba 1990, Spline Models for Observational Data, section 2.4).
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
    """Pictures (B,C,W,W), the places (B,K,2) in them of K points of a face, as `PointMaps` gives them, and values
    (B,K,D) at those points to maps (B,C+D,side*detail,side*detail) of the face.

    Places are splines at side x side cells, and linear between: they are smooth, and a spline at every fine cell would
    be most of a small model's size.
    """

    weights: Tensor

    def __init__(self, n_points: int, side: int, detail: int = 1) -> None:
        super().__init__()
        self.side, self.detail = side, detail
        self.register_buffer("weights", torch.zeros(side * side, n_points))

    def forward(self, images: Tensor, points: Tensor, values: Tensor) -> Tensor:
        with torch.autocast(points.device.type, enabled=False):
            spread_out = self.weights @ torch.cat([points.float(), values.float()], -1)
            cells = spread_out.mT.unflatten(2, (self.side, self.side))
            if self.detail > 1:
                cells = nn.functional.interpolate(cells, scale_factor=self.detail, mode="bilinear")
        places, others = cells.split([2, values.shape[-1]], 1)
        grid = 2 * places.permute(0, 2, 3, 1) * places.new_tensor([1.0, -1.0])
        seen = nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return torch.cat([seen, others], 1)
