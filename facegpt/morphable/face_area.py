"""Where a face model's albedo may learn from photos, and the luminance that it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.morphable import FaceModel
from facegpt.rendering import LUMINANCE

EDGES = {"top": (0.060, 0.074), "bottom": (0.120, 0.132), "side": (0.068, 0.080), "back": (0.015, 0.035)}
"""Metres above, below, beside and behind the middle of the eyes between which what was learned fades: beyond lie hair,
clothes and the backs of ears.
"""
CHEEK = ((0.020, 0.055), (-0.050, -0.020))
"""|x| and y (metres) of the cheeks on the mean head."""


class Skin(nn.Module):
    """Of a face model, per vertex: `weight` (V,) of what is learned, `partner` (V,) in the mirror, `cheeks` (V,).

    Raises ValueError for a model without a region `head`, or without mirror images of its vertices (to 1 mm).
    """

    weight: Tensor
    partner: Tensor
    cheeks: Tensor
    luminance: Tensor

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        if "head" not in model.region_names:
            raise ValueError(f"face model {model.id} has no region head")
        distance, partner = torch.cdist(model.mean * model.mean.new_tensor([-1.0, 1.0, 1.0]), model.mean).min(
            1
        )
        if float(distance.max()) > 1e-3:
            raise ValueError(
                f"face model {model.id} is not symmetric: {1e3 * float(distance.max()):.1f} mm off"
            )
        x, y, z = model.mean.unbind(1)
        inside = torch.ones_like(x)
        for name, place in (("top", y), ("bottom", -y), ("side", x.abs()), ("back", -z)):
            low, high = EDGES[name]
            inside = inside * (1 - ((place - low) / (high - low)).clamp(0, 1))
        head = model.regions == model.region_names.index("head")
        seen = head.clone()
        for number, name in enumerate(model.region_names):
            if name.startswith("eye_front"):
                seen |= model.regions == number
        (nearest, farthest), (low, high) = CHEEK
        self.register_buffer("weight", inside.square() * (3 - 2 * inside) * seen)
        self.register_buffer("partner", partner)
        self.register_buffer(
            "cheeks", head & (x.abs() > nearest) & (x.abs() < farthest) & (y > low) & (y < high) & (z > 0)
        )
        self.register_buffer("luminance", model.mean.new_tensor(LUMINANCE))
