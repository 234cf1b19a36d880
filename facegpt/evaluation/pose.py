"""The yaw of labelled heads whose label has landmarks and no pose."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.morphable import FaceModel
from facegpt.rendering import matrix_to_euler
from facegpt.rendering.psnr import Array

RIGID = slice(17, 48)
"""Brows, nose and eyes: the mouth moves with the jaw, and the contour slides over the head as it turns."""


def yaw_from_landmarks(face_model: FaceModel, points: Array) -> Tensor:
    """Estimates the yaw of heads from 68 true points, with Pose_Para's sign: (N,) degrees in [-90, 90].

    Pose from orthography and scaling (the first step of POSIT, DeMenthon and Davis, IJCV 15, 1995): the scaled
    orthographic projection that takes brows, nose and eyes of the mean face nearest to the points, by least squares,
    its two rows made orthonormal. Good for bins of 30 degrees (tested on rendered faces), and no truth of a pose.

    Args:
        face_model: gives the mean face.
        points: (N, 68, 2) pixels, v downwards.

    Raises:
        ValueError: on another shape.
    """
    pixels = torch.as_tensor(points).to("cpu", torch.float64)
    if pixels.ndim != 3 or pixels.shape[1:] != (68, 2):
        raise ValueError(f"landmarks are {tuple(pixels.shape)}, expected (N, 68, 2)")
    front = torch.eye(3, device=face_model.mean.device)[None]
    head = face_model.landmarks(face_model.mean[None], front)[0, RIGID].to("cpu", torch.float64)
    head = head - head.mean(0)
    upright = pixels[:, RIGID] * pixels.new_tensor([1.0, -1.0])
    upright = upright - upright.mean(1, keepdim=True)
    rows = (torch.linalg.pinv(head) @ upright).transpose(1, 2)
    u, _, vh = torch.linalg.svd(rows, full_matrices=False)
    right, up = (u @ vh).unbind(1)
    rotation = torch.stack([right, up, torch.linalg.cross(right, up)], 1)
    return matrix_to_euler(rotation)[0]
