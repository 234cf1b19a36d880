"""Cheap augmentation of a batch, so that a rendered face can be shown more than once."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.morphable.mirror import LANDMARKS, Mirror
from facegpt.morphable.theta import Theta
from facegpt.training.data.pool import Batch


def mirrored(batch: Batch, mirror: Mirror, generator: torch.Generator) -> Batch:
    """Replaces about half of the faces of a batch, drawn at random, by their mirror images."""
    chosen = torch.rand(len(batch.images), generator=generator) < 0.5
    reflected = mirror(batch.theta)
    across = torch.tensor([-1.0, 1.0])
    places = batch.landmarks2d[:, LANDMARKS] * across + torch.tensor([batch.images.shape[-1] - 1.0, 0.0])

    def either(flipped: Tensor, original: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (original.ndim - 1)), flipped, original)

    return Batch(
        either(batch.images.flip(-1), batch.images),
        Theta.split(
            either(reflected.flat(), batch.theta.flat()),
            batch.theta.shape.shape[1],
            batch.theta.expression.shape[1],
            batch.theta.albedo.shape[1],
        ),
        either(places, batch.landmarks2d),
        batch.covered,
        batch.perspective,
    )


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Changes colour, noise and cut-outs of images (B,3,W,W) in 0..1; geometry stays, so theta does."""
    batch, _, size, _ = images.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    images = images * (1 + normal(batch, 3, 1, 1) * 0.06) + normal(batch, 1, 1, 1) * 0.05
    contrast = torch.exp(normal(batch, 1, 1, 1) * 0.15)
    middle = images.mean((1, 2, 3), keepdim=True)
    images = (images - middle) * contrast + middle
    if float(uniform(1)) < 0.4:
        images = images + normal(batch, 3, size, size) * (uniform(batch, 1, 1, 1) * 0.04)
    grid = torch.arange(size)
    for _ in range(2):
        centre, extent = uniform(batch, 2) * size, (0.04 + 0.22 * uniform(batch, 2)) * size
        hidden = (uniform(batch) < 0.18)[:, None, None]
        rows = (grid[None] - centre[:, :1]).abs() < extent[:, :1] / 2
        columns = (grid[None] - centre[:, 1:]).abs() < extent[:, 1:] / 2
        hidden = (hidden & rows[:, :, None] & columns[:, None, :])[:, None]
        images = torch.where(hidden, uniform(batch, 3, 1, 1), images)
    return images.clamp(0, 1)
