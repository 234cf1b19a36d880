"""Rendered heads on necks, with light, self-shadow, shine and beards; without hair, background and props."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable import FaceModel, Theta
from facegpt.rendering import (
    Camera,
    interpolate,
    linear_to_srgb,
    rasterize,
    sh_basis,
    to_camera,
    vertex_normals,
)
from facegpt.synthetic.beard import grow_beards
from facegpt.synthetic.neck import neck_of
from facegpt.synthetic.sampling import FOCAL, FaceSample
from facegpt.synthetic.shadow import self_shadow

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """A batch of rendered heads: pixels (B,W,W,3) sRGB in 0..1, masks `head` and `neck` (B,W,W) of 0 and 1,
    landmarks (B,68,2) and crown (B,2) in px.
    """

    pixels: F32
    head: F32
    neck: F32
    landmarks: F32
    crown: F32


def draw_heads(
    model: FaceModel,
    theta: Theta,
    samples: list[FaceSample],
    rng: np.random.Generator,
    size: int,
    without: Collection[str] = (),
) -> Heads:
    """Renders `theta` (B) at `size` px with a camera at each sample's distance; `without` as in `render_faces`."""
    factor = torch.tensor([sample.perspective for sample in samples])
    translation = theta.translation * torch.stack(
        [torch.ones_like(factor), torch.ones_like(factor), factor], 1
    )
    rotation = theta.rotation
    local = model.vertices(theta.shape, theta.expression)
    camera = Camera(size, FOCAL * factor)
    mottle = torch.from_numpy(rng.normal(size=(len(samples), model.n_vertices, 1)).astype(np.float32)) * 0.04
    skin = model.albedo(theta.albedo)
    bearded, length = grow_beards(rng, model, skin)
    albedo = (skin if "beard" in without else bearded) * (1 + mottle)
    light = theta.lighting
    depth = torch.from_numpy(rng.uniform(0.5, 1.3, (len(samples), 1)).astype(np.float32))
    unshadowed = torch.ones_like(albedo[..., :1])
    if "self-shadow" not in without:
        unshadowed = (self_shadow(model)(light, rotation) ** depth)[..., None]
    points, triangles = to_camera(local, rotation, translation), model.triangles
    throat = torch.from_numpy(
        rng.uniform((0.4, 0.3, 0.6), (1.0, 0.9, 1.1), (len(samples), 3)).astype(np.float32)
    )
    if (neck := neck_of(model)) is not None:
        with_neck = neck.joined(points, rotation, rng)
        if "neck" not in without:
            points, triangles = with_neck, torch.cat([triangles, neck.triangles])
            albedo, length = neck.extended(albedo), neck.extended(length)
            unshadowed = neck.extended(
                unshadowed * (1 + neck.under * (throat[:, None, :1] - 1)), throat[:, 1:]
            )
    normals = vertex_normals(points, triangles)
    if "beard" not in without:
        points = points + normals * length
    fragments = rasterize(camera.screen(points), triangles, size)
    facing = torch.nn.functional.normalize(interpolate(fragments, normals), dim=-1)
    image = torch.div(fragments.pixel, size * size, rounding_mode="floor")
    lighting = light.view(-1, 9, 3)
    irradiance = (sh_basis(facing)[:, :, None] * lighting[image]).sum(1).clamp(min=0.02)
    colour = interpolate(fragments, albedo) * irradiance * interpolate(fragments, unshadowed)
    shine = _specular(rng, facing, lighting, image, len(samples))
    colour = colour if "shine" in without else colour + shine
    picture = linear_to_srgb(fragments.dense(colour.clamp(0, 1)))
    head = (fragments.triangle >= 0) & (fragments.triangle < len(model.triangles))
    landmarks, _ = camera.project(to_camera(model.landmarks(local, rotation), rotation, translation))
    top = local[:, model.mean[:, 1].argmax()][:, None]
    crown, _ = camera.project(to_camera(top, rotation, translation))
    return Heads(
        picture.numpy(),
        head.float().numpy(),
        (fragments.triangle >= len(model.triangles)).float().numpy(),
        landmarks.numpy(),
        crown[:, 0].numpy(),
    )


def _specular(
    rng: np.random.Generator, normals: torch.Tensor, lighting: torch.Tensor, image: torch.Tensor, count: int
) -> torch.Tensor:
    """Computes a Blinn lobe (P,3) towards the dominant light, viewer straight ahead: wet or oily skin and eyes."""
    dominant = lighting[:, [3, 1, 2]].mean(-1)
    half = torch.nn.functional.normalize(dominant, dim=-1) + torch.tensor([0.0, 0.0, 1.0])
    half = torch.nn.functional.normalize(half, dim=-1)
    sharpness = torch.from_numpy(rng.uniform(6, 40, count).astype(np.float32))
    strength = torch.from_numpy((rng.gamma(1.0, 0.06, count)).astype(np.float32))
    cosine = (normals * half[image]).sum(-1).clamp(0, 1)
    return (strength[image] * cosine ** sharpness[image])[:, None].expand(-1, 3)
