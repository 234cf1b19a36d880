"""Albedo modes: principal components of readings with gaps, symmetric or antisymmetric, and a face model with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegpt.model.tower.albedo_fit import DARKEST, LIGHTEST
from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import Skin
from facegpt.morphable.face_model import TENSORS

LEAST_VISIBLE = 0.05
"""The least share of faces in which a vertex must be visible."""
FILLINGS = 4
STRENGTH = 0.85
"""The standard deviation of drawn coefficients, in those of the photos, which hold hair and glasses, too."""


@dataclass(frozen=True)
class Modes:
    """Modes of a factor of the albedo: `1 + mean (V,) + coefficients (K,) @ modes (K,V)`, coefficients in standard
    deviations.

    `share` is the share of the readings' variance, beyond their mean, that the modes hold.
    """

    mean: Tensor
    modes: Tensor
    share: float

    def fitted(
        self, lit: Tensor, residual: Tensor, weight: Tensor, visible: Tensor, precision: float
    ) -> Tensor:
        """Fits the modes to the `residual` (P,) of the luminances of the `visible` (V,) vertices, at which a factor
        of 1 has the luminance `lit` (P,); returns what they add to the factor (V,). Least squares with the `weight`
        (P,) and a Gaussian prior of that `precision`.
        """
        jacobian = lit[:, None] * self.modes[:, visible].T
        weighted = jacobian * weight[:, None]
        normal = weighted.T @ jacobian + precision * torch.eye(len(self.modes))
        result: Tensor = torch.linalg.solve(normal, weighted.T @ residual) @ self.modes
        return result


def symmetric_modes(excess: Tensor, visible: Tensor, skin: Skin, count: int) -> Modes:
    """Computes the mean and `count` principal components of readings `excess` (N,V); `visible` (N,V) tells which there
    are.

    Each face counts with its mirror image, so that components are symmetric or antisymmetric; gaps are filled by what
    the components say, over and over (Hastie et al. 2015, softImpute's hard version). Both fade as `skin.weight` does.

    Raises ValueError if there are fewer faces than components.
    """
    if count > len(excess):
        raise ValueError(f"{count} modes want as many faces at least, and there are {len(excess)}")
    excess = torch.cat([excess, excess[:, skin.partner]])
    visible = torch.cat([visible, visible[:, skin.partner]])
    enough = (visible.sum(0) >= LEAST_VISIBLE * len(visible)).float()
    mean = (excess * visible).sum(0) / visible.sum(0).clamp(min=1) * enough
    centred = torch.where(visible > 0, excess - mean, 0) * enough
    filled = centred
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(FILLINGS):
            axes = torch.svd_lowrank(filled, q=min(count + 10, len(filled)), niter=3)[2][:, :count]
            filled = torch.where(visible > 0, centred, (filled @ axes) @ axes.T) * enough
    explained = ((filled @ axes) @ axes.T * visible).square().sum() / (centred * visible).square().sum()
    modes = (axes * (filled @ axes).std(0)).T
    sign = (modes * modes[:, skin.partner]).sum(1).sign()
    modes = (modes + sign[:, None] * modes[:, skin.partner]) / 2
    mean = (mean + mean[skin.partner]) / 2
    return Modes(mean * skin.weight, modes * skin.weight, float(explained))


def with_modes(model: FaceModel, skin: Skin, learned: Modes, keep: int, name: str) -> FaceModel:
    """Makes a face model called `name`: `model` with the first `keep` of its albedo modes and the learned ones.

    The learned mean is a factor of mean and modes, as light and dark skin have it alike. A linear model has no such
    factors for the learned modes: they are added to the mean face's albedo, and so the examples' coefficients are
    scaled by how light the cheeks of an example are. Examples are drawn (fixed seed), none is that of a photo.
    """
    factor = (1 + learned.mean)[:, None]
    mean, basis = model.albedo_mean * factor, model.albedo_basis[:keep] * factor
    examples = model.albedo_examples[:, :keep]
    cheeks = skin.cheeks
    light = (mean[cheeks] + torch.einsum("na,avc->nvc", examples, basis[:, cheeks])) @ skin.luminance
    scale = (light.mean(1) / (mean[cheeks] @ skin.luminance).mean()).clamp(DARKEST, LIGHTEST)
    draws = torch.randn(len(examples), len(learned.modes), generator=torch.Generator().manual_seed(0))
    draws = STRENGTH * scale[:, None] * draws
    spread = float(draws.std())
    added = spread * learned.modes[..., None] * mean
    tensors = {tensor: getattr(model, tensor) for tensor in TENSORS}
    tensors |= {
        "albedo_mean": mean,
        "albedo_basis": torch.cat([basis, added]),
        "albedo_examples": torch.cat([examples, (draws - draws.mean(0)) / draws.std(0)], 1),
    }
    made = FaceModel(
        tensors,
        id=name,
        sha256="",
        region_names=model.region_names,
        expression_names=model.expression_names,
        expression_unit=model.expression_unit,
        licence=model.licence,
        conversion=model.conversion,
    )
    return FaceModel.from_bytes(made.to_bytes())
