"""Two views of one photo, and the change of points and theta from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from facegpt.morphable import Theta
from facegpt.rendering import FOCAL_MULTIPLIER, matrix_to_axis_angle
from facegpt.training.photos.crops import MARGIN

Generator = torch.Generator


@dataclass(frozen=True)
class View:
    """The views of B wide crops, one crop of each: the point x of a crop (crop widths, right and up from the middle)
    lies at `scale` R(`angle`) x + `shift` from the middle of the wide crop. angle, scale (B,); shift (B,2).
    """

    angle: Tensor
    scale: Tensor
    shift: Tensor

    @classmethod
    def draw(cls, count: int, spread: float, generator: Generator) -> View:
        """Draws random ones: at `spread` 1, with deviations of 12 degrees, 10 % in scale and 4 % of a crop in place."""

        def normal(*shape: int) -> Tensor:
            return spread * torch.randn(*shape, generator=generator).clamp(-2, 2)

        return cls(0.21 * normal(count), torch.exp(0.1 * normal(count)), 0.04 * normal(count, 2))

    def cut(self, wide: Tensor, size: int) -> Tensor:
        """Cuts the crops (B,3,size,size) out of wide crops (B,3,S,S); what lies outside repeats the border."""
        steps = (torch.arange(size) - (size - 1) / 2) / size
        v, u = torch.meshgrid(-steps, steps, indexing="ij")
        places = torch.stack([u, v], -1).reshape(1, -1, 2).to(wide)
        points = self.scale[:, None, None] * places @ _turn(self.angle).mT + self.shift[:, None]
        grid = (points * points.new_tensor([1.0, -1.0]) * (2 / MARGIN)).unflatten(1, (size, size))
        cut: Tensor = nn.functional.grid_sample(wide, grid, padding_mode="border", align_corners=False)
        return cut


@dataclass(frozen=True)
class Change:
    """The change from one view to another: x becomes `zoom` R(`angle`) x + `shift`. angle, zoom (B,); shift (B,2)."""

    angle: Tensor
    zoom: Tensor
    shift: Tensor

    @classmethod
    def between(cls, one: View, other: View) -> Change:
        """Computes the change from `one` to `other`."""
        back = (one.shift - other.shift)[:, None] @ _turn(other.angle)
        return cls(one.angle - other.angle, one.scale / other.scale, back.squeeze(1) / other.scale[:, None])

    def to(self, device: torch.device) -> Change:
        """Moves it to a device."""
        return Change(self.angle.to(device), self.zoom.to(device), self.shift.to(device))

    def points(self, points: Tensor) -> Tensor:
        """Carries points (B,K,2) from the first view to the second."""
        return self.zoom[:, None, None] * points @ _turn(self.angle).mT + self.shift[:, None]

    def theta(self, theta: Theta) -> Theta:
        """Carries the face of the first view to the second.

        Exact for a turn of the picture; zooming and shifting are taken for moving the head, as everywhere where crops
        have a camera of their own. Lighting stays as it is: nothing here looks at it.
        """
        turn = torch.eye(3).to(theta.rotation_vector).repeat(len(theta), 1, 1)
        turn[:, :2, :2] = _turn(self.angle)
        depth = -theta.translation[:, 2:]
        point = FOCAL_MULTIPLIER * theta.translation[:, :2] / depth
        further = depth / self.zoom[:, None]
        place = self.points(point[:, None]).squeeze(1) * further / FOCAL_MULTIPLIER
        return replace(
            theta,
            rotation_vector=matrix_to_axis_angle(turn @ theta.rotation),
            translation=torch.cat([place, -further], 1),
        )


def degraded(images: Tensor, generator: Generator) -> Tensor:
    """Degrades pictures (B,3,W,W) in 0..1 as a worse camera would: small ones enlarged, grey, dark, pale, tinted."""
    count, _, size, _ = images.shape
    if not count:
        return images

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    rows: list[Tensor] = []
    for image in images:
        small = int(size * float(uniform(1)) ** 0.7 * 0.85 + 0.15 * size) if float(uniform(1)) < 0.7 else size
        kind = "area" if float(uniform(1)) < 0.7 else "bilinear"
        shrunk = nn.functional.interpolate(image[None], (small, small), mode=kind)
        rows.append(nn.functional.interpolate(shrunk, (size, size), mode="bilinear", align_corners=False))
    gamma = torch.exp(0.35 * torch.randn(count, 1, 1, 1, generator=generator))
    tint = 1 + 0.1 * torch.randn(count, 3, 1, 1, generator=generator)
    side = torch.linspace(-0.5, 0.5, size)
    slope = 0.5 * torch.randn(count, 2, generator=generator)
    shadow = 1 + slope[:, :1, None] * side[None, :, None] + slope[:, 1:, None] * side[None, None]
    light = tint * shadow[:, None].clamp(0.2, 2)
    worse = light * torch.cat(rows).clamp(1e-4, 1).pow(gamma)
    grey = (uniform(count) < 0.25)[:, None, None, None]
    return torch.where(grey, worse.mean(1, keepdim=True).expand_as(worse), worse).clamp(0, 1)


def _turn(angle: Tensor) -> Tensor:
    """Makes matrices (B,2,2) that turn counter-clockwise by `angle` (B,) radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
