"""How well a face that was read off a crop looks like it: the picture that theta draws, beside the crop."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.morphable import FaceModel, Theta
from facegpt.rendering import linear_to_srgb, render
from facegpt.rendering.psnr import psnr

DRAWN_SIDE = 112
"""Largest side in px at which faces are drawn and compared with the crop, which is reduced to it. Theta draws the same
picture at every size; a finer one takes twice as long and changes the PSNR by noise.
"""
AT_ONCE_ON_CPU = 8
"""How many faces are drawn at a time: what more need between one operation and the next exceeds a core's cache."""


def likeness(face_model: FaceModel, theta: Theta, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Draws B faces, at least one, and compares them with their crops (B,3,W,W), sRGB in 0..1.

    Returns:
        PSNR in dB (B,) inside the face, and the 68 landmarks (B,68,2) in pixels of the crop.
    """
    crop_size = pixels.shape[-1]
    side = min(crop_size, DRAWN_SIDE)
    reduced = torch.nn.functional.adaptive_avg_pool2d(pixels, side)
    at_once = AT_ONCE_ON_CPU if pixels.device.type == "cpu" else max(1, len(pixels))
    decibels, points = [], []
    for first in range(0, len(pixels), at_once):
        some = slice(first, first + at_once)
        rendering = render(face_model, theta[some], side)
        decibels.append(psnr(linear_to_srgb(rendering.image), reduced[some], rendering.mask))
        points.append((rendering.landmarks2d + 0.5) * (crop_size / side) - 0.5)
    return torch.cat(decibels), torch.cat(points)
