"""Albedo coefficients and light, fitted in turn and in closed form to a picture of a face laid flat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.rendering import LUMINANCE, linear_to_srgb, sh_basis, srgb_to_linear

ROUNDS = 3
SOFTNESS = 0.15
"""The difference (sRGB, 0..1) at which a cell keeps half its weight: beyond are hair, glasses, highlights."""
PRECISION = 1.25e-5
"""Precision of the coefficients' Gaussian prior, in units of the squared relative error of all cells."""
GRAZING = 0.2
"""The least cosine between a normal and the view of a cell that is read."""
DARKEST, LIGHTEST = 0.1, 1.6
"""Bounds of the luminance of a face's cheeks, over that of the mean face, by which learned modes are scaled."""


class AlbedoFit(nn.Module):
    """The fit from faces laid flat, (B,3,S,S) sRGB, and the heads' rotations (B,3,3) to albedo coefficients (B,A).

    Luminance alone is fitted, with the normals of the mean head: light by least squares for nine spherical harmonics,
    coefficients with a Gaussian prior, each given the other, `ROUNDS` times. Cells with a large residual lose their
    weight (Geman-McClure, iteratively reweighted).

    Buffers, of C = S x S cells: `skin` (C,), the share of skin in 0..1; `normals` (C,3) on the mean head; the luminance
    of the albedo, `mean` (C,) and modes `basis` (A,C); `lightness` (A,), the change of the cheeks' luminance by each
    mode, relative to the mean face's. `gain` (A,), a parameter, scales each coefficient.
    """

    skin: Tensor
    normals: Tensor
    mean: Tensor
    basis: Tensor
    lightness: Tensor

    def __init__(self, n_albedo: int, side: int) -> None:
        super().__init__()
        self.side, cells = side, side * side
        self.register_buffer("skin", torch.zeros(cells))
        self.register_buffer("normals", torch.zeros(cells, 3))
        self.register_buffer("mean", torch.zeros(cells))
        self.register_buffer("basis", torch.zeros(n_albedo, cells))
        self.register_buffer("lightness", torch.zeros(n_albedo))
        self.gain = nn.Parameter(torch.zeros(n_albedo))

    @torch.no_grad()
    def forward(self, flat: Tensor, rotation: Tensor) -> Tensor:
        with torch.autocast(flat.device.type, enabled=False):
            linear = srgb_to_linear(flat.float())
            luminance = (linear * linear.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
            cell_luminance = nn.functional.adaptive_avg_pool2d(luminance, self.side).flatten(1)
            return self._fit(cell_luminance, self.normals.float() @ rotation.float().mT)

    def _fit(self, luminance: Tensor, normals: Tensor) -> Tensor:
        """Fits coefficients (B,A) to luminances (B,C) with `normals` (B,C,3) in the camera's frame."""
        used = (self.skin > 0.05).nonzero()[:, 0]
        mean, basis = self.mean[used].float(), self.basis[:, used].float()
        luminance, normals = luminance[:, used], normals[:, used]
        visible = self.skin[used].float() * (normals[..., 2] > GRAZING)
        bands, ridge = sh_basis(normals), 1e-3 * torch.eye(9, device=luminance.device)
        prior = PRECISION * self.side**2 * torch.eye(len(basis), device=luminance.device)
        trust, coefficients = visible, luminance.new_zeros(len(luminance), len(basis))
        for _ in range(ROUNDS):
            albedo = (mean + coefficients @ basis).clamp(min=0.01)
            response = bands * albedo[..., None]
            weighted = response * trust[..., None]
            light = torch.linalg.solve(weighted.mT @ response + ridge, weighted.mT @ luminance[..., None])
            received = (bands @ light)[..., 0].clamp(min=0.02)
            difference = linear_to_srgb(received * albedo) - linear_to_srgb(luminance)
            trust = visible / (1 + (difference / SOFTNESS).square())
            # luminance ** -1.16 is about the squared slope of the sRGB curve: errors count as they are seen.
            weight = trust * luminance.clamp(min=0.02) ** -1.16 * received
            normal = (basis * (weight * received)[:, None]) @ basis.T + prior
            projected = ((luminance - received * mean) * weight) @ basis.T
            coefficients = torch.linalg.solve(normal, projected[..., None])[..., 0]
        return coefficients

    def added(self, fitted: Tensor, guess: Tensor) -> Tensor:
        """Computes what the fit adds (B,A) to a guess (B,A) of the albedo: the fitted coefficients times `gain`, scaled
        by the luminance of the guessed skin. The fit cannot tell light from skin: it takes all faces to be as light as
        the mean one.
        """
        lightness = (1 + guess.detach() @ self.lightness).clamp(DARKEST, LIGHTEST)
        return self.gain * fitted * lightness[:, None]
