"""A picture of a face model for inspection: faces from the front and the side, with their landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.theta import Theta
from facegpt.rendering import euler_to_matrix, linear_to_srgb, matrix_to_axis_angle, render

U8 = npt.NDArray[np.uint8]
YAWS = (0.0, 40.0)
PLACE = (0.0, 0.035, -1.05)
"""Translation (3,) in metres at which the whole head fits the picture."""


@torch.no_grad()
def portrait(model: FaceModel, shape: Tensor, expression: Tensor, size: int = 320, marks: bool = True) -> U8:
    """Draws faces (B,S), (B,E) as sRGB: one row for each, one column for each of `YAWS`; `marks`: with the 68
    landmarks.
    """
    columns = []
    for yaw in YAWS:
        count = len(shape)
        turn = euler_to_matrix(torch.full((count,), yaw), torch.zeros(count), torch.zeros(count))
        light = torch.zeros(count, 9, 3)
        light[:, 0], light[:, 1], light[:, 2] = 2.3, 0.5, 0.9
        theta = Theta(
            shape=shape,
            expression=expression,
            albedo=torch.zeros(count, model.n_albedo),
            lighting=light.flatten(1),
            rotation_vector=matrix_to_axis_angle(turn),
            translation=torch.tensor(PLACE).expand(count, 3),
        )
        drawn = render(model, theta, size)
        pixels = (linear_to_srgb(drawn.image.clamp(0, 1)) * 255).byte().permute(0, 2, 3, 1).numpy().copy()
        if marks:
            for picture, points in zip(pixels, drawn.landmarks2d.numpy(), strict=True):
                for k, (u, v) in enumerate(points):
                    colour = (90, 255, 90) if k > 16 else (255, 220, 60)
                    cv2.circle(picture, (round(float(u)), round(float(v))), max(1, size // 160), colour, -1)
        columns.append(pixels)
    rows = np.concatenate(columns, 2)
    return np.concatenate(list(rows), 0)
