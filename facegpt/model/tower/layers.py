"""Convolutional building blocks of the small vision tower."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015, arXiv 1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def stages(widths: list[int], blocks: list[int]) -> nn.ModuleList:
    """Stages that halve the map and widen it from `widths[i]` to `widths[i + 1]`, with `blocks[i]` residual blocks."""
    return nn.ModuleList(
        nn.Sequential(convolution(before, after, 2), *(Residual(after) for _ in range(count)))
        for before, after, count in zip(widths, widths[1:], blocks, strict=False)
    )


def reduction(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution, batch norm, ReLU, and the map flattened: (B,inputs,H,W) to (B,outputs*H*W)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Flatten(1),
    )
