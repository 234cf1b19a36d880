"""Convolutional building blocks of the small vision tower."""

from __future__ import annotations

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
        changed: Tensor = x + self.second(self.first(x))
        return changed.relu_()


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


def reduced(images: Tensor, side: int) -> Tensor:
    """Reduces images (B,C,W,W) to (B,C,side,side): each pixel is the mean of those that it covers."""
    size = images.shape[-1]
    if size == side:
        return images
    if size == 2 * side:
        # Half way between two pixels, linear interpolation is their mean; its kernel takes a third of the time.
        return nn.functional.interpolate(images, (side, side), mode="bilinear", align_corners=False)
    if size % side == 0:
        return nn.functional.avg_pool2d(images, size // side)
    return nn.functional.adaptive_avg_pool2d(images, side)


def channel_deviation(images: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the standard deviations (B,C) of the channels of images (B,C,H,W) about their `mean` (B,C), and that
    (B,) of all values about their common mean.
    """
    count, channels = images.shape[-2] * images.shape[-1], images.shape[1]
    squares = (images - mean[..., None, None]).square().sum((2, 3))
    between = count * (mean - mean.mean(1, keepdim=True)).square()
    together = (squares + between).sum(1) / (channels * count - 1)
    return (squares / (count - 1)).sqrt(), together.sqrt()
