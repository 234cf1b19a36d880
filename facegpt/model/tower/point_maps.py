"""Maps of the anchors: where points of a face model lie in a crop, as the centres of mass of heat maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.model.tower.layers import convolution, reduced

FAINTEST = -80.0
"""Logarithm of the least weight of a cell, relative to the heaviest: 2e-35."""


class PointMaps(nn.Module):
    """A feature pyramid from maps of falling size to K points (B,K,2) and their spread (B,K), in crop widths.

    u runs right and v up from the middle of the crop. A point is the centre of mass of its heat map and its spread the
    map's standard deviation, a measure of uncertainty (Nibali et al. 2018, arXiv 1801.07372). The pyramid adds coarse
    maps to finer ones, down to the finest (Lin et al. 2017, arXiv 1612.03144).
    """

    def __init__(self, inputs: list[int], width: int, count: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(size, width, 1) for size in inputs)
        self.smooth = nn.ModuleList(convolution(width, width) for _ in inputs[:-1])
        self.maps = nn.Conv2d(width, count, 1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self.lateral[-1](features[-1])
        for level in reversed(range(len(features) - 1)):
            finer = self.lateral[level](features[level])
            x = self.smooth[level](finer + nn.functional.interpolate(x, finer.shape[-2:], mode="nearest"))
        heat = self.maps(x).float().permute(0, 2, 3, 1).flatten(1, 2)
        side = x.shape[-1]
        line = (torch.arange(side, device=x.device, dtype=torch.float32) + 0.5) / side - 0.5
        v, u = torch.meshgrid(-line, line, indexing="ij")
        u, v = u.flatten(), v.flatten()
        cells = torch.stack([u, v, u.square() + v.square(), torch.ones_like(u)])
        with torch.autocast(heat.device.type, enabled=False):
            # The softmax over cells and its moments at once: numerators and denominator are one product. Far below
            # the highest cell lie denormal numbers, with which a processor takes many times as long.
            below = (heat - heat.detach().amax(1, keepdim=True)).clamp(min=FAINTEST)
            sums = torch.bmm(cells.expand(len(heat), -1, -1), below.exp_()).mT
        moments = sums[..., :3] / sums[..., 3:]
        points = moments[..., :2]
        variance = moments[..., 2] - points.square().sum(-1)
        return points, variance.clamp(min=1e-6).sqrt()


def colours_at(images: Tensor, points: Tensor, side: int = 28) -> Tensor:
    """Samples colours (B,K,3) of images (B,3,W,W), reduced to `side` px, at points (B,K,2) of `PointMaps`."""
    small = reduced(images, side)
    grid = (2 * points * points.new_tensor([1.0, -1.0]))[:, :, None]
    return nn.functional.grid_sample(small, grid, padding_mode="border", align_corners=False)[..., 0].mT
