"""What photos show of faces beyond the albedo of their reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

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
"""Photos are read at so many px to a side: vertices of a face lie about two of these apart."""
SOFTNESS = 0.15
"""The difference (sRGB, 0..1) from which on a place rather shows something else: hair, glasses, a highlight."""
GRAZING = 0.2
"""The least cosine between a normal and the view of a vertex that is read."""
DARK = 0.05
"""The least light that tells an albedo."""
FLOOR = 0.02
LARGEST = 0.85
PRECISION = 4.0
"""Of the modes' coefficients, in units of the squared relative error of one vertex."""
ROUNDS = 5
FEWEST = 200


@dataclass(frozen=True)
class Readings:
    """Of N faces, what the photo has in place of the albedo of each vertex: `excess` (N,V), the ratio of both
    luminances less 1, and whether it was `seen` (N,V), 1 or 0.
    """

    excess: Tensor
    seen: Tensor

    @classmethod
    def concatenate(cls, parts: list[Readings]) -> Readings:
        return cls(torch.cat([p.excess for p in parts]), torch.cat([p.seen for p in parts]))


@torch.inference_mode()
def read_albedo(model: FaceModel, skin: Skin, theta: Theta, pixels: Tensor, known: Modes | None) -> Readings:
    """Reads the albedo of B faces off their photos, given shape, pose and a first albedo.

    Per face the light is fitted (`fit_light`) to the vertices of the face proper, with Geman-McClure weights and
    together with the modes that are `known`, so that what these explain is not taken for light; what light and first
    albedo then leave of a vertex's luminance is its excess. Faces that show fewer than `FEWEST` vertices are read as
    unseen.

    Args:
        theta: reconstructions (B).
        pixels: (B,3,H,H) sRGB in 0..1, crops as the model saw them.
    """
    pixels = torch.nn.functional.adaptive_avg_pool2d(pixels, SIDE)
    points = to_camera(model.vertices(theta.shape, theta.expression), theta.rotation, theta.translation)
    camera = Camera(SIDE)
    fragments = rasterize(camera.screen(points), model.triangles, SIDE)
    normals = vertex_normals(points, model.triangles)
    basis, own = sh_basis(normals), model.albedo(theta.albedo)
    facing = -(normals * points).sum(-1) / points.norm(dim=-1) > GRAZING
    places = (camera.project(points)[0] + 0.5) / (SIDE / 2) - 1
    colours = torch.nn.functional.grid_sample(srgb_to_linear(pixels), places[:, None], align_corners=False)
    triangles = fragments.triangle.view(len(pixels), SIDE, SIDE)
    rows = []
    for face in range(len(pixels)):
        shown = torch.zeros(model.n_vertices, dtype=torch.bool)
        shown[model.triangles[triangles[face][fragments.mask[face]]].unique()] = True
        seen = shown & facing[face]
        rows.append(_read(skin, basis[face], own[face], colours[face, :, 0].T, seen, known))
    return Readings(torch.stack([excess for excess, _ in rows]), torch.stack([seen for _, seen in rows]))


def _read(
    skin: Skin, basis: Tensor, own: Tensor, colours: Tensor, seen: Tensor, known: Modes | None
) -> tuple[Tensor, Tensor]:
    """Excess (V,) and whether it was seen (V,) of one face: `basis` (V,9), albedo `own` (V,3), `colours` (V,3)."""
    proper = seen & (skin.weight > 0.99)
    if int(proper.sum()) < FEWEST:
        return torch.zeros(len(own)), torch.zeros(len(own))
    excess = torch.zeros(len(own)) if known is None else known.mean
    trust = torch.ones(int(proper.sum()))
    for _ in range(ROUNDS):
        albedo = (own * (1 + excess[:, None])).clamp(0.005, 1)
        root = trust.sqrt()[:, None]
        response = (basis[..., None] * albedo[:, None])[proper]
        light = fit_light(response * root[..., None], colours[proper] * root).float()
        received = (basis[..., None] * light).sum(1)
        drawn = (received * albedo).clamp(0, 1)
        difference = (linear_to_srgb(drawn) - linear_to_srgb(colours)).abs().mean(1)[proper]
        trust = 1 / (1 + (difference / SOFTNESS).square())
        if known is not None:
            excess = known.mean + known.fitted(
                ((received * own) @ skin.luminance)[proper],
                ((colours - received * own * (1 + known.mean[:, None])) @ skin.luminance)[proper],
                trust / (colours @ skin.luminance)[proper].clamp(min=0.02) ** 1.16,
                proper,
                PRECISION,
            )
    bright = (received @ skin.luminance).clamp(min=0)
    first = own @ skin.luminance
    # In sRGB a dark place's noise is small; as a ratio it is not.
    ratio = ((colours @ skin.luminance) + FLOOR) / (bright * first + FLOOR)
    told = (seen & (bright > DARK)).float()
    return (ratio - 1).clamp(-LARGEST, LARGEST) * told, told
