"""A linear albedo model and light fitted in turn, in closed form, to a picture of a face laid flat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.rendering import LUMINANCE, linear_to_srgb, sh_basis, srgb_to_linear

ROUNDS = 3
SOFTNESS = 0.15
"""The difference (sRGB, 0..1) from which on a cell rather shows something else: hair, glasses, a highlight."""
PRECISION = 1.25e-5
"""Of the coefficients' Gaussian prior, in units of the squared relative error of all cells."""
GRAZING = 0.2
"""The least cosine between a normal and the view of a cell that is read."""
DARKEST, LIGHTEST = 0.1, 1.6
"""Bounds of the luminance of a face's cheeks, over that of the mean face, by which learned modes are scaled."""


class AlbedoFit(nn.Module):
    """Pictures of faces laid flat, (B,3,S,S) sRGB, and the heads' rotations (B,3,3) to albedo coefficients (B,A).

    Luminance alone is fitted, as if all heads were the mean one turned: light by least squares for nine spherical
    harmonics, coefficients with a Gaussian prior, each given the other, `ROUNDS` times. Cells that the face explains
    badly lose their weight (Geman-McClure, iteratively reweighted).

    Buffers, of S x S cells: how much each is `skin`, its `normals` (C,3) on the mean head, and the luminance of its
    albedo, `mean` (C,) and modes `basis` (A,C). `lightness` (A,) is what each mode does to the luminance of cheeks,
    over that of the mean face's.
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
            seen = nn.functional.adaptive_avg_pool2d(luminance, self.side).flatten(1)
            return self._fit(seen, self.normals.float() @ rotation.float().mT)

    def _fit(self, seen: Tensor, normals: Tensor) -> Tensor:
        """Coefficients (B,A) of luminances `seen` (B,C), where `normals` (B,C,3) look in the camera's frame."""
        used = (self.skin > 0.05).nonzero()[:, 0]
        mean, basis = self.mean[used].float(), self.basis[:, used].float()
        seen, normals = seen[:, used], normals[:, used]
        shown = self.skin[used].float() * (normals[..., 2] > GRAZING)
        bands, few = sh_basis(normals), 1e-3 * torch.eye(9, device=seen.device)
        prior = PRECISION * self.side**2 * torch.eye(len(basis), device=seen.device)
        trust, found = shown, seen.new_zeros(len(seen), len(basis))
        for _ in range(ROUNDS):
            albedo = (mean + found @ basis).clamp(min=0.01)
            response = bands * albedo[..., None]
            weighted = response * trust[..., None]
            light = torch.linalg.solve(weighted.mT @ response + few, weighted.mT @ seen[..., None])
            received = (bands @ light)[..., 0].clamp(min=0.02)
            difference = linear_to_srgb(received * albedo) - linear_to_srgb(seen)
            trust = shown / (1 + (difference / SOFTNESS).square())
            # The slope of sRGB: what the eye sees of an error.
            weight = trust * seen.clamp(min=0.02) ** -1.16 * received
            normal = (basis * (weight * received)[:, None]) @ basis.T + prior
            left = ((seen - received * mean) * weight) @ basis.T
            found = torch.linalg.solve(normal, left[..., None])[..., 0]
        return found

    def added(self, found: Tensor, guess: Tensor) -> Tensor:
        """What the fit adds to a guess (B,A) of the albedo: the found coefficients by their gains, scaled by how light
        the guessed skin is, since the fit, which cannot tell light from skin, takes all faces for as light as the mean.
        """
        light = (1 + guess.detach() @ self.lightness).clamp(DARKEST, LIGHTEST)
        return self.gain * found * light[:, None]
