"""The mean of a face model for registration, and its visible skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable.face_area import registered_area, skin_of_head
from facegpt.morphable.face_model import FaceModel
from facegpt.rendering import euler_to_matrix, rasterize

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VIEWS = (-35.0, 0.0, 35.0)
"""Yaws in degrees of the views that skin must be visible in; insides of nostrils and lips are in none."""
PIXELS, EXTENT = 512, 0.16


@dataclass(frozen=True)
class Face:
    """The mean of a face model in float64: vertices (V,3) metres, the skin's triangles (F,3), all of them, and
    landmarks as vertex ids and weights (68,3).
    """

    mean: F64
    skin: I64
    triangles: I64
    mark_ids: I64
    mark_weights: F64

    @classmethod
    def of(cls, model: FaceModel) -> Face:
        """Extracts the mean of any model of this project."""
        skin = model.triangles[skin_of_head(model)[model.triangles].all(1)]
        ids = torch.cat([model.jaw_vertices[:, 0], model.landmark_vertices])
        weights = torch.cat([model.jaw_weights[:, 0], model.landmark_weights])
        arrays = (skin.numpy(), model.triangles.numpy(), ids.numpy(), weights.double().numpy())
        return cls(model.mean.double().numpy(), *arrays)

    @cached_property
    def visible(self) -> Mask:
        """Mask (V,) of the vertices in `registered_area` that one of `VIEWS` shows."""
        area = registered_area(self.mean, self.marks(self.mean)[3:14])
        used = np.zeros(len(self.mean), bool)
        used[self.skin] = True
        return np.asarray(area & used & self._rasterised())

    def marks(self, vertices: F64) -> F64:
        """Places the 68 landmarks (68,3) on `vertices` (V,3), seen from the front."""
        return np.asarray((vertices[self.mark_ids] * self.mark_weights[..., None]).sum(1))

    def _rasterised(self) -> Mask:
        """Selects the vertices (V,) of triangles that are visible in an orthographic view."""
        yaw, level = torch.tensor(VIEWS), torch.zeros(len(VIEWS))
        turned = torch.from_numpy(self.mean).float() @ euler_to_matrix(yaw, level, level).mT
        middle, scale = (PIXELS - 1) / 2, (PIXELS - 1) / 2 / EXTENT
        screen = torch.stack(
            [middle + turned[..., 0] * scale, middle - turned[..., 1] * scale, 10.0 - turned[..., 2]], -1
        )
        triangle_of_pixel = rasterize(screen, torch.from_numpy(self.triangles), PIXELS).triangle.numpy()
        visible = np.zeros(len(self.mean), bool)
        visible[self.triangles[np.unique(triangle_of_pixel[triangle_of_pixel >= 0])]] = True
        return visible
