"""Which vertices of a face model are the face: every region that a loss, a measure or a drawing is restricted to.

Regions are read off the mean head, in metres: x right in the image, y up, z towards the camera, the origin midway
between the eyes. There are several, since they serve different ends, and their bounds are not to be made equal: another
bound changes the bundled model, rendered faces, what a loss asks for, or figures that would no longer compare.

| region | bounds | used by |
|---|---|---|
| `skin_of_head` | region 0 of every face model | all below, hair and beards |
| `eye_fronts` | regions `eye_front...` | photometric loss, learned albedo |
| `loss_area` | skin, \\|y\\| < 110 mm, z > -20 mm | geometric losses, surface errors (`LossPoints`) |
| `anchor_area` | skin, -125 < y < 75 mm, z > -30 mm | anchors of the trunk |
| `photometric_area` | skin, -120 < y < 60 mm, z > -20 mm; eye fronts | photometric loss |
| `measured_area` | every region, \\|x\\| <= 75, -120 <= y <= 60, z >= -30 mm | PSNR with the light fitted |
| `tone_cheeks` | every region, 20 < \\|x\\| < 45, -40 < y < -20 mm, z > 0 | tone of rendered skin |
| `albedo_cheeks` | skin, 20 < \\|x\\| < 55, -50 < y < -20 mm, z > 0 | scale of learned albedo |
| `Skin.weight` | skin and eye fronts, fading | learned albedo |
| `registered_area` | below 85 mm, \\|x\\| < 72, z > -30 mm, down to 3 mm below the jaw | conversion between models |
| `component_weights`, `slider_area` | see there | baking the bundled model |
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegpt.morphable.face_model import FaceModel
from facegpt.rendering import LUMINANCE

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SKIN = 0
"""The region of skin, `head`: the first one of every face model."""
MEASURED_BOX = ((-0.075, 0.075), (-0.12, 0.06), (-0.03, 1.0))
"""Metres in x, y, z: ear to ear, chin to hairline, no back of the head."""
FADING = {"top": (0.060, 0.074), "bottom": (0.120, 0.132), "side": (0.068, 0.080), "back": (0.015, 0.035)}
"""Metres above, below, beside and behind the middle of the eyes between which learned albedo fades: beyond lie hair,
clothes and the backs of ears.
"""


def region(model: FaceModel, name: str) -> Tensor:
    """Selects the vertices (V,) of the region `name`; raises ValueError for a model without it."""
    return model.regions == model.region_names.index(name)


def skin_of_head(model: FaceModel) -> Tensor:
    """Selects the vertices (V,) of skin: face, ears, skull and neck, without eyes, teeth and insides."""
    return model.regions == SKIN


def eye_fronts(model: FaceModel) -> Tensor:
    """Selects the visible halves of the eyeballs (V,); empty for a model that does not tell them apart."""
    fronts = torch.zeros_like(model.regions, dtype=torch.bool)
    for name in model.region_names:
        if name.startswith("eye_front"):
            fronts |= region(model, name)
    return fronts


def loss_area(model: FaceModel) -> Tensor:
    """Selects the skin (V,) that points of the geometric losses are drawn from: the front of the face."""
    _, y, z = model.mean.unbind(1)
    return skin_of_head(model) & (z > -0.02) & (y.abs() < 0.11)


def anchor_area(model: FaceModel) -> Tensor:
    """Selects the skin (V,) that anchors are spread over: more of the sides than losses see, and all of the chin."""
    _, y, z = model.mean.unbind(1)
    return skin_of_head(model) & (z > -0.03) & (y < 0.075) & (y > -0.125)


def photometric_area(model: FaceModel) -> Tensor:
    """Selects the vertices (V,) whose colour the photometric loss compares with photos: no hair, and the eyes."""
    _, y, z = model.mean.unbind(1)
    return skin_of_head(model) & (z > -0.02) & (y < 0.06) & (y > -0.12) | eye_fronts(model)


def measured_area(model: FaceModel) -> Tensor:
    """Selects the vertices (V,) inside `MEASURED_BOX`, bounds included, of whatever region."""
    low, high = model.mean.new_tensor(MEASURED_BOX).unbind(1)
    return ((model.mean >= low) & (model.mean <= high)).all(1)


def tone_cheeks(model: FaceModel) -> Tensor:
    """Selects the vertices (V,) whose mean luminance is the tone of rendered skin: no beard, no nose."""
    x, y, z = model.mean.unbind(1)
    return (x.abs() > 0.020) & (x.abs() < 0.045) & (y > -0.040) & (y < -0.020) & (z > 0)


def albedo_cheeks(model: FaceModel) -> Tensor:
    """Selects the skin (V,) whose mean luminance scales what albedo learns from photos: wider than `tone_cheeks`."""
    x, y, z = model.mean.unbind(1)
    sides = (x.abs() > 0.020) & (x.abs() < 0.055)
    return skin_of_head(model) & sides & (y > -0.050) & (y < -0.020) & (z > 0)


def registered_area(mean: F64, jaw: F64) -> Mask:
    """Selects the vertices (V,) of a face without ears, skull and neck, between which models are registered.

    Args:
        mean: (V,3) metres.
        jaw: (N,3) landmarks along the jaw by rising x; the face ends 3 mm below the line through them.
    """
    x, y, z = mean.T
    below = np.interp(x, jaw[:, 0], jaw[:, 1]) - 0.003
    return np.asarray((z > -0.03) & (y > below) & (y < 0.085) & (np.abs(x) < 0.072))


def component_weights(mean: F32, regions: I64) -> F64:
    """Weighs vertices (V,) in the bundled model's components of shape: 1 where a photo of a face shows them, 0.1 on
    ears, 0.02 on skull, neck and insides.
    """
    front = (mean[:, 2] > -0.03) & (mean[:, 1] > -0.12) & (mean[:, 1] < 0.085)
    weights = np.where(front & np.isin(regions, [0, 1, 2]), 1.0, 0.02)
    ears = np.abs(mean[:, 0]) > 0.07
    return np.where(ears & (weights == 1.0), 0.1, weights)


def slider_area(mean: F32, regions: I64) -> Mask:
    """Selects the skin (V,) over which the effect of anny's sliders is measured before they are sampled."""
    return np.asarray((regions == SKIN) & (mean[:, 2] > -0.03) & (np.abs(mean[:, 1] + 0.02) < 0.1))


class Skin(nn.Module):
    """Where the albedo of a face model may learn from photos, and the luminance that it learns.

    Buffers, per vertex: `weight` (V,) in 0..1 of what is learned, fading as `FADING` says; `partner` (V,), the index of
    the mirror image; `cheeks` (V,) bool, whose luminance says how light a face is. `luminance` (3,) weighs linear RGB.

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
            low, high = FADING[name]
            inside = inside * (1 - ((place - low) / (high - low)).clamp(0, 1))
        visible = skin_of_head(model) | eye_fronts(model)
        self.register_buffer("weight", inside.square() * (3 - 2 * inside) * visible)
        self.register_buffer("partner", partner)
        self.register_buffer("cheeks", albedo_cheeks(model))
        self.register_buffer("luminance", model.mean.new_tensor(LUMINANCE))
