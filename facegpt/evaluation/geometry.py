"""Errors of geometry: landmarks, angles, rotations, coefficients and surfaces.

Every function takes tensors or numpy arrays, computes in float64 and gives one value per face, so that a caller can
choose its own mean, median or cumulative curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegpt.rendering.psnr import Array, float64_pair

LANDMARK_PARTS: dict[str, slice] = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
"""The parts of the 68 iBUG points."""

OUTER_EYE_CORNERS = (36, 45)


@dataclass(frozen=True)
class LandmarkError:
    """The normalised mean errors (NME) of N faces, as fractions of the distance between the outer eye corners.

    ``per_face`` (N,), ``mean`` over the faces, and ``parts``: the mean for each of jaw, brows, nose, eyes, mouth.
    """

    per_face: Tensor
    mean: float
    parts: dict[str, float]


def landmark_nme(predicted: Array, target: Array) -> LandmarkError:
    """Computes the normalised mean error of the 68 points, as the 300-W challenge does (Sagonas et al., ICCVW 2013).

    Args:
        predicted: (N, 68, 2) pixels, iBUG order.
        target: (N, 68, 2) pixels in the same image; its points 36 and 45 give the normalising distance.

    Returns:
        LandmarkError; 0.05 means 5 % of the distance between the outer eye corners.

    Raises:
        ValueError: on other shapes, on no face at all, or if a target's eye corners coincide.
    """
    guess, truth = float64_pair(predicted, target)
    if truth.ndim != 3 or truth.shape[1:] != (68, 2) or len(truth) == 0:
        raise ValueError(f"landmarks are {tuple(truth.shape)}, expected (N, 68, 2) with N >= 1")
    right_corner, left_corner = OUTER_EYE_CORNERS
    scale = (truth[:, right_corner] - truth[:, left_corner]).norm(dim=-1)
    if not bool((scale > 0).all()):
        raise ValueError("the outer eye corners of a target coincide, there is nothing to normalise by")
    errors = (guess - truth).norm(dim=-1) / scale.unsqueeze(1)
    per_face = errors.mean(dim=1)
    parts = {name: float(errors[:, part].mean()) for name, part in LANDMARK_PARTS.items()}
    return LandmarkError(per_face, float(per_face.mean()), parts)


def landmark_box_error(predicted: Array, target: Array) -> Tensor:
    """Computes the mean error of the 68 points over the size of their box: (N,), the measure of AFLW2000-3D.

    The box is that of the target's points, its size sqrt(width * height) (Zhu et al., CVPR 2016). Unlike the distance
    of the eye corners it does not vanish on a profile, so that bins of yaw can be compared.

    Args:
        predicted: (N, 68, 2) pixels, iBUG order.
        target: (N, 68, 2) pixels in the same image.

    Raises:
        ValueError: on other shapes, or if a target's points have no extent.
    """
    guess, truth = float64_pair(predicted, target)
    if truth.ndim != 3 or truth.shape[1:] != (68, 2):
        raise ValueError(f"landmarks are {tuple(truth.shape)}, expected (N, 68, 2)")
    size = (truth.amax(1) - truth.amin(1)).prod(-1).sqrt()
    if not bool((size > 0).all()):
        raise ValueError("a target's points have no extent, there is nothing to normalise by")
    error: Tensor = (guess - truth).norm(dim=-1).mean(1) / size
    return error


def angle_error(predicted_deg: Array, target_deg: Array) -> Tensor:
    """Computes absolute differences of angles, the short way round: (N, 3) degrees in [0, 180].

    Args:
        predicted_deg: (N, 3) yaw, pitch, roll in degrees, with Pose_Para's signs
            (``facegpt.rendering.matrix_to_euler``).
        target_deg: (N, 3) likewise.

    Returns:
        (N, 3). The mean absolute error of the AFLW2000-3D protocol is its mean over the faces whose three target
        angles all lie within 99 degrees.
    """
    guess, truth = float64_pair(predicted_deg, target_deg)
    return ((guess - truth + 180) % 360 - 180).abs()


def rotation_error(predicted: Array, target: Array) -> Tensor:
    """Computes the angle between two rotations: (N,) degrees in [0, 180]; no gimbal lock, unlike Euler angles.

    Args:
        predicted: (N, 3, 3) rotation matrices.
        target: (N, 3, 3).
    """
    guess, truth = float64_pair(predicted, target)
    # The chord |A - B|_F = 2 sqrt(2) sin(angle / 2) keeps its precision where the trace's arc cosine loses it.
    chord = (guess - truth).flatten(1).norm(dim=1) / (2 * 2**0.5)
    return torch.rad2deg(2 * torch.asin(chord.clamp(max=1)))


def coefficient_error(predicted: Array, target: Array, variance: Array | float = 1.0) -> Tensor:
    """Computes the mean squared error of coefficients in units of their variance: (N,).

    Predicting the mean for every face has an expected error of 1; a value below 1 is better than that.

    Args:
        predicted: (N, K).
        target: (N, K).
        variance: of the targets, one number or (K,): 1 for shape and albedo (their prior is N(0, 1)); for expression,
            that of the test set. Coefficients of variance 0 carry no information and are left out.

    Raises:
        ValueError: if no coefficient varies.
    """
    guess, truth = float64_pair(predicted, target)
    scale = torch.as_tensor(variance, dtype=torch.float64, device=truth.device).expand(truth.shape[1])
    varies = scale > 0
    if not bool(varies.any()):
        raise ValueError("no coefficient varies, an error in units of variance has no meaning")
    return ((guess - truth).square()[:, varies] / scale[varies]).mean(dim=1)


def surface_error(predicted: Array, target: Array) -> Tensor:
    """Computes the mean squared distance of vertices after the best similarity transform: (N,) square metres.

    A photo shows neither the size of a head nor where the head's own frame lies: translation, rotation and scale are
    taken out by the least squares of Umeyama (IEEE PAMI 13(4), 1991), as benchmarks of 3D faces do.

    Args:
        predicted: (N, V, 3) metres.
        target: (N, V, 3) metres.
    """
    guess, truth = float64_pair(predicted, target)
    middle = truth.mean(dim=1, keepdim=True)
    turned, centred = _rigidly_aligned(guess, truth) - middle, truth - middle
    scale = (turned * centred).sum((1, 2)) / turned.square().sum((1, 2))
    error: Tensor = (scale[:, None, None] * turned - centred).square().sum(-1).mean(1)
    return error


def _rigidly_aligned(points: Tensor, target: Tensor) -> Tensor:
    """Moves `points` (N,V,3) rigidly onto `target` by least squares (Kabsch, Acta Cryst. A32, 1976)."""
    middle = target.mean(dim=1, keepdim=True)
    centred = points - points.mean(dim=1, keepdim=True)
    u, _, vh = torch.linalg.svd(centred.transpose(1, 2) @ (target - middle))
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.det(u @ vh)  # a reflection is no motion of a head
    aligned: Tensor = centred @ (u * sign.unsqueeze(1)) @ vh + middle
    return aligned
