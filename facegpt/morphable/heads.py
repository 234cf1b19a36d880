"""Heads with vertex colours, as arrays."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegpt.morphable.face_model import FaceModel


def coloured_heads(
    model: FaceModel, shape: Tensor, expression: Tensor, albedo: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Computes vertices (B, V, 3) in metres, in the head's frame, and linear RGB (B, V, 3).

    Coefficients (B, S), (B, E) and (B, A) lie on the model's device.
    """
    vertices = model.vertices(shape, expression).cpu().numpy()
    return vertices, (model.albedo(albedo) * 255).round().to(torch.uint8).cpu().numpy()
