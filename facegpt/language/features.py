"""Features of a face's form that descriptions name, measured as ratios of distances between landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegpt.language.attributes import Scale
from facegpt.morphable.point_subset import LossPoints

Pair = tuple[int, int]


@dataclass(frozen=True)
class Feature:
    """A ratio: the distance between two landmarks (iBUG 0-67) over that between two others."""

    part: Pair
    whole: Pair


FEATURES: Mapping[str, Feature] = {
    "face": Feature((0, 16), (27, 8)),
    "jaw": Feature((4, 12), (0, 16)),
    "chin": Feature((57, 8), (27, 8)),
    "nose_length": Feature((27, 33), (27, 8)),
    "nose_width": Feature((31, 35), (0, 16)),
    "mouth_width": Feature((48, 54), (0, 16)),
    "lip_height": Feature((51, 57), (27, 8)),
    "eye_distance": Feature((39, 42), (36, 45)),
}
FORM = Scale(("low", "middle", "high"), (-0.85, 0.85), 0.15)
"""The scale of z scores: deviations of a logarithm from the mean face's, in units of random faces' deviations."""


class FormMeasures(nn.Module):
    """The measures of `FEATURES` of neutral faces: z scores over random faces, 0 for the mean face."""

    middle: Tensor
    spread: Tensor

    def __init__(self, points: LossPoints, faces: int = 2000, seed: int = 0) -> None:
        super().__init__()
        self.points = points
        features = FEATURES.values()
        self.pairs = torch.tensor([[*feature.part, *feature.whole] for feature in features])
        n_shape = points.shape_basis.shape[0]
        shapes = torch.randn(faces, n_shape, generator=torch.Generator().manual_seed(seed))
        device = points.mean.device
        self.register_buffer("middle", self._ratios(torch.zeros(1, n_shape, device=device)))
        self.register_buffer(
            "spread", (self._ratios(shapes.to(device)) - self.middle).square().mean(0).sqrt()
        )

    def forward(self, shape: Tensor) -> Tensor:
        """Computes z scores (B, features) of shape coefficients (B,S)."""
        measures: Tensor = (self._ratios(shape) - self.middle) / self.spread
        return measures

    def _ratios(self, shape: Tensor) -> Tensor:
        """Computes the logarithms of the ratios (B, features), with the jaw contour of a frontal view."""
        neutral = shape.new_zeros(len(shape), self.points.expression_basis.shape[0])
        surface = self.points.points(shape, neutral)
        front = torch.eye(3, device=shape.device).expand(len(shape), 3, 3)
        marks = self.points.landmarks(surface, self.points.jaw_choice(surface, front))
        ends = marks[:, self.pairs]
        part, whole = (ends[:, :, k] - ends[:, :, k + 1] for k in (0, 2))
        ratios: Tensor = (part.norm(dim=-1) / whole.norm(dim=-1)).log()
        return ratios
