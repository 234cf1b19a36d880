"""Readings of the albedo in photos, relative to that of their reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.face_area import Skin
from facegpt.rendering import (
    Camera,
    fit_light,
    linear_to_srgb,
    rasterize,
    sh_basis,
    srgb_to_linear,
    to_camera,
    vertex_normals,
)
from facegpt.training.albedo.modes import Modes

SIDE = 112
"""The side in px at which photos are read: vertices of a face lie about two of these apart."""
SOFTNESS = 0.15
"""The difference (sRGB, 0..1) from which on a vertex rather shows something else: hair, glasses, a highlight."""
GRAZING = 0.2
"""The least cosine between a normal and the view of a vertex that is read."""
DARK = 0.05
"""The least luminance of the light at a vertex whose albedo is read."""
FLOOR = 0.02
LARGEST = 0.85
PRECISION = 4.0
"""Of the modes' coefficients, in units of the squared relative error of one vertex."""
ROUNDS = 5
FEWEST = 200


@dataclass(frozen=True)
class Readings:
    """The readings of N faces: `excess` (N,V), the luminance of each vertex's albedo in the photo over that of the
    reconstruction, less 1, and whether it is `visible` (N,V), 1 or 0.
    """

    excess: Tensor
    visible: Tensor

    @classmethod
    def concatenate(cls, parts: list[Readings]) -> Readings:
        """Joins the readings of several batches."""
        return cls(torch.cat([p.excess for p in parts]), torch.cat([p.visible for p in parts]))


@torch.inference_mode()
def read_albedo(model: FaceModel, skin: Skin, theta: Theta, pixels: Tensor, modes: Modes | None) -> Readings:
    """Reads the albedo of B faces off their photos, given shape, pose and a first albedo.

    Per face the light is fitted (`fit_light`) to the vertices of the face proper, with Geman-McClure weights and
    together with the `modes` of the round before, if there are any, so that what these explain is not taken for light;
    the ratio of a vertex's luminance to that of light and first albedo, less 1, is its excess. Faces that show fewer
    than `FEWEST` vertices are left out: none of their vertices is visible.

    Args:
        theta: reconstructions (B).
        pixels: (B,3,H,H) sRGB in 0..1, crops as the model saw them.
    """
    pixels = torch.nn.functional.adaptive_avg_pool2d(pixels, SIDE)
    points = to_camera(model.vertices(theta.shape, theta.expression), theta.rotation, theta.translation)
    camera = Camera(SIDE)
    fragments = rasterize(camera.screen(points), model.triangles, SIDE)
    normals = vertex_normals(points, model.triangles)
    basis, albedo = sh_basis(normals), model.albedo(theta.albedo)
    facing = -(normals * points).sum(-1) / points.norm(dim=-1) > GRAZING
    places = (camera.project(points)[0] + 0.5) / (SIDE / 2) - 1
    colours = torch.nn.functional.grid_sample(srgb_to_linear(pixels), places[:, None], align_corners=False)
    triangles = fragments.triangle.view(len(pixels), SIDE, SIDE)
    rows = []
    for face in range(len(pixels)):
        drawn = torch.zeros(model.n_vertices, dtype=torch.bool)
        drawn[model.triangles[triangles[face][fragments.mask[face]]].unique()] = True
        vertices = _Vertices(basis[face], albedo[face], colours[face, :, 0].T, drawn & facing[face])
        rows.append(_read(skin, vertices, modes))
    return Readings(
        torch.stack([excess for excess, _ in rows]), torch.stack([visible for _, visible in rows])
    )


class _Vertices(NamedTuple):
    """The vertices of one face: spherical harmonics (V,9), first albedo and colours in the photo (V,3) in linear RGB,
    and which are visible (V,).
    """

    basis: Tensor
    albedo: Tensor
    colours: Tensor
    visible: Tensor


def _read(skin: Skin, vertices: _Vertices, modes: Modes | None) -> tuple[Tensor, Tensor]:
    """Reads the excess (V,) of one face; returns it and which vertices it could be read at (V,), 1 or 0."""
    basis, first, colours, visible = vertices
    proper = visible & (skin.weight > 0.99)
    if int(proper.sum()) < FEWEST:
        return torch.zeros(len(first)), torch.zeros(len(first))
    excess = torch.zeros(len(first)) if modes is None else modes.mean
    trust = torch.ones(int(proper.sum()))
    for _ in range(ROUNDS):
        albedo = (first * (1 + excess[:, None])).clamp(0.005, 1)
        root = trust.sqrt()[:, None]
        response = (basis[..., None] * albedo[:, None])[proper]
        light = fit_light(response * root[..., None], colours[proper] * root).float()
        received = (basis[..., None] * light).sum(1)
        rendered = (received * albedo).clamp(0, 1)
        difference = (linear_to_srgb(rendered) - linear_to_srgb(colours)).abs().mean(1)[proper]
        trust = 1 / (1 + (difference / SOFTNESS).square())
        if modes is not None:
            excess = modes.mean + modes.fitted(
                ((received * first) @ skin.luminance)[proper],
                ((colours - received * first * (1 + modes.mean[:, None])) @ skin.luminance)[proper],
                trust / (colours @ skin.luminance)[proper].clamp(min=0.02) ** 1.16,
                proper,
                PRECISION,
            )
    bright = (received @ skin.luminance).clamp(min=0)
    # In sRGB a dark place's noise is small; as a ratio it is not.
    ratio = ((colours @ skin.luminance) + FLOOR) / (bright * (first @ skin.luminance) + FLOOR)
    readable = (visible & (bright > DARK)).float()
    return (ratio - 1).clamp(-LARGEST, LARGEST) * readable, readable
