"""The renderer: from a face model and theta to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from facegpt.rendering.camera import FOCAL_MULTIPLIER, Camera, to_camera
from facegpt.rendering.rasterizer import Fragments, interpolate, rasterize
from facegpt.rendering.shading import shade, vertex_normals


class RenderableModel(Protocol):
    """The part of a face model that the renderer needs, as ``facegpt.morphable.FaceModel`` has it."""

    @property
    def triangles(self) -> Tensor: ...

    def vertices(self, shape: Tensor, expression: Tensor) -> Tensor: ...

    def albedo(self, coefficients: Tensor) -> Tensor: ...

    def landmarks(self, vertices: Tensor, rotation: Tensor) -> Tensor: ...


class RenderableTheta(Protocol):
    """The part of theta that the renderer needs, as ``facegpt.morphable.Theta`` has it."""

    @property
    def shape(self) -> Tensor: ...

    @property
    def expression(self) -> Tensor: ...

    @property
    def albedo(self) -> Tensor: ...

    @property
    def lighting(self) -> Tensor: ...

    @property
    def rotation(self) -> Tensor: ...

    @property
    def translation(self) -> Tensor: ...


@dataclass(frozen=True)
class Rendering:
    """A rendered batch of faces, differentiable but for ``mask`` and which triangle a pixel sees.

    ``image`` (B, 3, H, W) linear RGB, 0 in the background and not clamped; ``mask`` (B, H, W) bool, true on
    the face; ``fragments`` what each pixel sees; ``vertices_camera`` (B, V, 3) metres, camera frame;
    ``landmarks2d`` (B, 68, 2) pixels of the crop; ``normals`` (B, 3, H, W) unit normals in the camera frame,
    0 in the background, on request.
    """

    image: Tensor
    mask: Tensor
    fragments: Fragments
    vertices_camera: Tensor
    landmarks2d: Tensor
    normals: Tensor | None = None

    def over(self, background: Tensor) -> Tensor:
        """Fills ``background`` (B, 3, H, W) in where no face is: (B, 3, H, W)."""
        return torch.where(self.mask.unsqueeze(1), self.image, background)


def render(
    face_model: RenderableModel,
    theta: RenderableTheta,
    size: int,
    *,
    focal_multiplier: float | Tensor = FOCAL_MULTIPLIER,
    albedo: Tensor | None = None,
    with_normals: bool = False,
) -> Rendering:
    """Renders faces.

    The light is evaluated at the vertices and its radiance interpolated (triangles are of a pixel's size).

    Args:
        face_model: on the device of theta.
        theta: a batch of B faces.
        size: side of the square crop in pixels.
        focal_multiplier: focal length in crop widths, one number or (B,).
        albedo: (B, V, 3) linear RGB in place of ``face_model.albedo(theta.albedo)``.
        with_normals: whether to give per-pixel normals.

    Returns:
        Rendering.
    """
    in_head = face_model.vertices(theta.shape, theta.expression)
    rotation = theta.rotation
    in_camera = to_camera(in_head, rotation, theta.translation)
    camera = Camera(size, focal_multiplier)
    landmarks = to_camera(face_model.landmarks(in_head, rotation), rotation, theta.translation)
    colours = face_model.albedo(theta.albedo) if albedo is None else albedo
    fragments = rasterize(camera.screen(in_camera), face_model.triangles, size)
    normals = vertex_normals(in_camera, face_model.triangles)
    radiance = shade(colours, normals, theta.lighting)
    image = _planes(fragments, interpolate(fragments, radiance))
    pixel_normals = None
    if with_normals:
        unit_normals = torch.nn.functional.normalize(interpolate(fragments, normals), dim=-1)
        pixel_normals = _planes(fragments, unit_normals)
    return Rendering(
        image=image,
        mask=fragments.mask,
        fragments=fragments,
        vertices_camera=in_camera,
        landmarks2d=camera.project(landmarks)[0],
        normals=pixel_normals,
    )


def _planes(fragments: Fragments, values: Tensor) -> Tensor:
    """Spreads per-fragment values (P, C) over the picture, channels first: (B, C, H, W)."""
    return fragments.dense(values).permute(0, 3, 1, 2)
