"""The photometric loss: the colour difference of a reconstruction and its photo, where both show skin."""

from __future__ import annotations

from torch import Tensor, nn

from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.face_area import photometric_area
from facegpt.rendering import interpolate, linear_to_srgb, render


class Photometric(nn.Module):
    """A robust colour difference of rendered faces and photos."""

    skin: Tensor
    softness = 0.08
    """The difference (sRGB, 0..1) from which on a pixel rather shows something else: hair, glasses, a hand."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("skin", photometric_area(model).float())

    def forward(self, theta: Theta, photos: Tensor) -> Tensor:
        """Computes the loss (scalar) of faces (B) in photos (B,3,W,W), sRGB in 0..1.

        The mean over the face's pixels of |difference|, each with the weight 1 / (1 + (difference / softness)^2) of a
        Geman-McClure estimator, held fixed (iteratively reweighted): what the face model cannot
        represent has little weight.
        """
        rendered = render(self.model, theta, photos.shape[-1])
        fragments = rendered.fragments
        skin = self.skin[None, :, None].expand(len(photos), -1, 1)
        weight = fragments.dense(interpolate(fragments, skin))[..., 0]
        image = linear_to_srgb(rendered.image.clamp(1e-3, 1))
        difference = (image - photos).abs().mean(1)
        trust = weight / (1 + (difference.detach() / self.softness) ** 2)
        total: Tensor = (trust * difference).sum() / weight.sum().clamp(min=1)
        return total
