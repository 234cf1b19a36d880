"""The loss of the points that the small vision tower finds."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.model.tower.point_fit import PointFit
from facegpt.morphable import Theta
from facegpt.rendering import FOCAL_MULTIPLIER, Camera, to_camera


def anchor_points(fit: PointFit, theta: Theta, perspective: Tensor) -> Tensor:
    """Projects the points of faces (B) into their pictures: (B,K,2) in crop widths, u right and v up from the middle.

    `perspective` (B,) is the distance of the camera that took the picture, in units of theta's.
    """
    modes = torch.cat([theta.shape, theta.expression], 1) @ fit.basis.flatten(1)
    points = fit.mean + modes.unflatten(1, fit.mean.shape)
    distance = torch.stack([torch.ones_like(perspective), torch.ones_like(perspective), perspective], 1)
    camera = Camera(1, FOCAL_MULTIPLIER * perspective)
    pixels, _ = camera.project(to_camera(points, theta.rotation, theta.translation * distance))
    return pixels * pixels.new_tensor([1.0, -1.0])


def points_loss(points: Tensor, spread: Tensor, true: Tensor) -> Tensor:
    """Computes the mean negative log likelihood (scalar) of points in the picture under a Laplace law as wide as
    their heat map.
    """
    inside = (true.abs() < 0.5).all(-1)
    error = (points - true).square().sum(-1).add(1e-8).sqrt()
    likelihood = error / spread + 2 * spread.log()
    return likelihood[inside].mean()
