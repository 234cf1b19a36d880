"""Losses of a predicted theta against the true one: in parameters, on the surface, in the picture and in colour."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.morphable import Theta
from facegpt.morphable.point_subset import LossPoints
from facegpt.rendering import Camera, axis_angle_to_matrix, linear_to_srgb, sh_basis, to_camera


def theta_losses(
    predicted: Theta, true: Theta, landmarks2d: Tensor | None, points: LossPoints, size: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Computes the loss terms (scalars) of a batch, and each row's landmark error (B,) in per cent of the outer eye
    distance.

    `landmarks2d` (B,68,2) px are where the picture shows the true landmarks; None for where `true` puts them.
    landmarks: mean distance in crop widths. shape, albedo: mean squared error in units of variance. surface: squared
    error of neutral skin points over their variance, both after the best translation. expression: cross entropy less
    its least value (behind a sigmoid, a squared error has next to no gradient where an action is mostly off).
    rotation: squared Frobenius distance of the matrices. translation: squared error in units of its jitter. lighting:
    squared error of the coefficients. colour: absolute sRGB error of the skin's shaded colour.
    """
    neutral = torch.zeros_like(true.expression)
    true_points = points.points(true.shape, true.expression)
    predicted_points = points.points(predicted.shape, predicted.expression)
    true_rotation, predicted_rotation = (axis_angle_to_matrix(t.rotation_vector) for t in (true, predicted))
    choice = points.jaw_choice(true_points, true_rotation)

    def pixels(of: Theta, surface: Tensor, rotation: Tensor) -> Tensor:
        projected: Tensor = Camera(size).project(
            to_camera(points.landmarks(surface, choice), rotation, of.translation)
        )[0]
        return projected

    if landmarks2d is None:
        landmarks2d = pixels(true, true_points, true_rotation)
    distance = (
        (pixels(predicted, predicted_points, predicted_rotation) - landmarks2d)
        .square()
        .sum(-1)
        .add(1e-6)
        .sqrt()
    )
    eyes = (landmarks2d[:, 36] - landmarks2d[:, 45]).norm(dim=-1)
    # Turned heads bring the eye corners together: the floor keeps a profile's error finite.
    nme = 100 * distance.mean(1) / eyes.clamp(min=0.25 * size)

    skin = slice(-points.skin, None)
    shift = points.points(predicted.shape - true.shape, neutral)[:, skin] - points.mean[skin]
    # Moving the whole face is the translation's business.
    shift = shift - shift.mean(1, keepdim=True)
    modes = points.shape_basis.unflatten(-1, (-1, 3))[:, skin]
    variance = (modes - modes.mean(1, keepdim=True)).square().sum((0, 2)).mean()
    offset = (predicted.translation - true.translation) / predicted.translation.new_tensor(
        [0.012, 0.012, 0.10]
    )
    terms = {
        "landmarks": distance.mean() / size,
        "shape": (predicted.shape - true.shape).square().mean(),
        "surface": shift.square().sum(-1).mean() / variance,
        "expression": cross_entropy(predicted.expression, true.expression),
        "rotation": (predicted_rotation - true_rotation).square().sum((1, 2)).mean(),
        "translation": offset.square().mean(),
        "albedo": (predicted.albedo - true.albedo).square().mean(),
        "lighting": (predicted.lighting - true.lighting).square().mean(),
        "colour": _colour_error(predicted, true, points, true_rotation),
    }
    return terms, nme


def _colour_error(predicted: Theta, true: Theta, points: LossPoints, true_rotation: Tensor) -> Tensor:
    """Computes the mean absolute sRGB error (scalar) of the shaded skin points that face the camera."""
    normals = torch.einsum("bij,pj->bpi", true_rotation, points.skin_normals)
    basis = sh_basis(normals)
    visible = (normals[..., 2] > 0.15).float()

    def shaded(theta: Theta) -> Tensor:
        irradiance = (basis @ theta.lighting.unflatten(-1, (9, 3))).clamp(min=0.02)
        return linear_to_srgb((points.skin_albedo(theta.albedo).clamp(min=0.002) * irradiance).clamp(max=1.0))

    colour = (shaded(predicted) - shaded(true)).abs().mean(-1)
    return (colour * visible).sum() / visible.sum().clamp(min=1)


IMAGINED = {"shape": 1.0, "expression": 5.0, "albedo": 1.0, "lighting": 1.0, "rotation_vector": 3.0}
"""Blocks of theta that a description decides, with the factor that brings each to about unit spread; it does not say
where the face is.
"""


def energy(first: Theta, second: Theta, true: Theta) -> Tensor:
    """Computes the energy score of two draws against the truth, summed over the blocks of `IMAGINED`.

    It is least if draws are distributed as the truth is, given the words (Gneiting & Raftery 2007, eq. 22 with
    beta = 1): a draw is to be near the truth, and far from the other draw.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean(-1).add(1e-8).sqrt().mean()

    terms = []
    for name, scale in IMAGINED.items():
        one, two, aim = (scale * getattr(theta, name) for theta in (first, second, true))
        terms.append((distance(one, aim) + distance(two, aim) - distance(one, two)) / 2)
    return torch.stack(terms).sum()


def outside(values: Tensor, ranges: Tensor) -> Tensor:
    """Measures how far `values` (B,N) lie outside `ranges` (B,N,2), on average over those that have a bound."""
    low, high = ranges.unbind(-1)
    bounded = torch.isfinite(low) | torch.isfinite(high)
    beyond = (low - values).clamp(min=0) + (values - high).clamp(min=0)
    return beyond[bounded].mean() if bool(bounded.any()) else values.sum() * 0


def cross_entropy(predicted: Tensor, true: Tensor) -> Tensor:
    """Computes the mean Kullback-Leibler divergence of strengths in 0..1 taken as probabilities."""
    p, t = predicted.clamp(1e-5, 1 - 1e-5), true.clamp(1e-5, 1 - 1e-5)
    return (t * (t / p).log() + (1 - t) * ((1 - t) / (1 - p)).log()).mean()
