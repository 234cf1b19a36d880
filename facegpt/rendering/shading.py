"""Spherical-harmonics shading, vertex normals, and the sRGB transfer curve."""

from __future__ import annotations

import torch
from torch import Tensor

SH_CONSTANTS = (0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274)
"""Factors of 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2 (Ramamoorthi and Hanrahan, SIGGRAPH 2001, eq. 3)."""

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear sRGB (ITU-R BT.709)."""


def sh_basis(normals: Tensor) -> Tensor:
    """Evaluates the nine real spherical harmonics of bands 0 to 2.

    Args:
        normals: (..., 3) unit vectors, camera frame.

    Returns:
        (..., 9) in the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, with ``SH_CONSTANTS``.
    """
    x, y, z = normals.unbind(dim=-1)
    c = SH_CONSTANTS
    return torch.stack(
        (
            torch.full_like(x, c[0]),
            c[1] * y,
            c[2] * z,
            c[3] * x,
            c[4] * (x * y),
            c[5] * (y * z),
            c[6] * (3 * z * z - 1),
            c[7] * (x * z),
            c[8] * (x * x - y * y),
        ),
        dim=-1,
    )


def shade(albedo: Tensor, normals: Tensor, lighting: Tensor) -> Tensor:
    """Computes the radiance of a diffuse surface: ``albedo * (Y(n) @ L)``.

    The lighting takes in the cosine lobe's and 1/pi's factors of each band: it is what a fit or a network
    estimates, not a radiance map. Nothing is clamped here: a strong light from one side can make the far side
    negative.

    Args:
        albedo: (B, N, 3) linear RGB.
        normals: (B, N, 3) unit vectors, camera frame.
        lighting: (B, 27), or (B, 9, 3): row-major [band][rgb].

    Returns:
        (B, N, 3) linear RGB.
    """
    return albedo * (sh_basis(normals) @ lighting.reshape(lighting.shape[0], 9, 3))


def fit_light(response: Tensor, linear: Tensor) -> Tensor:
    """Fits the lighting (9, 3) that brings a face nearest to the pixels, by least squares in linear RGB.

    For each channel c it minimises ``sum_p (linear[p, c] - response[p, :, c] @ L[:, c])^2``, where
    ``response[p, k, c]`` is the albedo at pixel p times the k-th spherical harmonic of its normal; of many solutions,
    the shortest. `response` (P, 9, 3), `linear` (P, 3).
    """
    solution: Tensor = torch.linalg.lstsq(
        response.permute(2, 0, 1).double(), linear.T.double().unsqueeze(-1), driver="gelsd"
    ).solution
    return solution.squeeze(-1).T


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Computes unit normals at the vertices: the sum of the adjacent triangles' normals, weighted by area.

    Args:
        vertices: (B, V, 3).
        triangles: (F, 3) int64, counter-clockwise as seen from outside.

    Returns:
        (B, V, 3), differentiable; (0, 0, 0) at a vertex without a triangle.
    """
    # Vertex-major, one plane for each axis: a corner's row is contiguous for the whole batch.
    rows = vertices.permute(1, 2, 0).contiguous()
    a, b, c = (rows.index_select(0, corner) for corner in triangles.unbind(dim=1))
    px, py, pz = (b - a).unbind(dim=1)
    qx, qy, qz = (c - a).unbind(dim=1)
    normals = torch.stack((py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx), dim=1)
    total = torch.zeros_like(rows)
    for corner in triangles.unbind(dim=1):
        total = total.index_add(0, corner, normals)
    # A triangle has about 1e-5 m^2, whose square would drown in the usual eps of 1e-12.
    scale = (total * total).sum(dim=1, keepdim=True).clamp(min=1e-24).rsqrt()
    return (total * scale).permute(2, 0, 1)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Applies the sRGB curve of IEC 61966-2-1, differentiable, on linear values clamped to [0, 1]."""
    clamped = linear.clamp(0, 1)
    # The power's derivative is infinite at 0, and 0 times infinity is nan in the branch that is not taken.
    curve = 1.055 * clamped.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(clamped <= 0.0031308, clamped * 12.92, curve)


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Applies the inverse of ``linear_to_srgb``, differentiable, on values clamped to [0, 1]."""
    clamped = srgb.clamp(0, 1)
    curve = ((clamped.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(clamped <= 0.04045, clamped / 12.92, curve)
