"""The photometric gain: how much nearer than the mean face a reconstruction is to a photo, with the light fitted."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.face_area import measured_area
from facegpt.rendering import (
    Camera,
    Fragments,
    fit_light,
    interpolate,
    linear_to_srgb,
    rasterize,
    sh_basis,
    srgb_to_linear,
    to_camera,
    vertex_normals,
)
from facegpt.rendering.psnr import psnr


@dataclass(frozen=True)
class LitFit:
    """The PSNR (B,) in dB, sRGB, inside the face, with the light fitted: of the reconstruction and of the mean face.

    ``own`` - ``mean_face`` is the gain; both are nan for a face that neither rendering shows.
    """

    own: Tensor
    mean_face: Tensor

    @property
    def gain(self) -> Tensor:
        """The difference (B,) in dB."""
        return self.own - self.mean_face


@torch.inference_mode()
def lit_fit(face_model: FaceModel, theta: Theta, pixels: Tensor) -> LitFit:
    """Compares a reconstruction and the mean face at the same pose with the photo, inside the face.

    The mean face has shape, expression and albedo 0, and theta's rotation and translation. Both get the lighting that
    `fit_light` finds for them on this photo, and both are judged on the pixels where both show the face proper
    (`measured_area`), so that neither the light nor the outline makes a difference:
    ``10 log10(1 / mean squared error)`` of sRGB values.

    Args:
        face_model: that of theta.
        theta: B faces.
        pixels: (B, 3, H, H) sRGB in 0..1.
    """
    theta, model, pixels = theta.to("cpu"), _on_cpu(face_model), pixels.cpu()
    neutral = {name: torch.zeros_like(getattr(theta, name)) for name in ("shape", "expression", "albedo")}
    mean = replace(theta, **neutral)
    size = pixels.shape[-1]
    own, plain = _responses(model, theta, size), _responses(model, mean, size)
    inside = _face_proper(model, own[0]) & _face_proper(model, plain[0])
    return LitFit(*(_lit_psnr(*drawn, pixels, inside) for drawn in (own, plain)))


def _on_cpu(model: FaceModel) -> FaceModel:
    # gelsd, which copes with a face that shows few directions, runs on the CPU alone.
    return model if model.mean.device.type == "cpu" else copy.deepcopy(model).cpu()


def _responses(model: FaceModel, theta: Theta, size: int) -> tuple[Fragments, Tensor]:
    """Rasterises the faces and computes the response (P, 9, 3) of each pixel to each coefficient of the light."""
    points = to_camera(model.vertices(theta.shape, theta.expression), theta.rotation, theta.translation)
    fragments = rasterize(Camera(size).screen(points), model.triangles, size)
    basis = sh_basis(vertex_normals(points, model.triangles))
    response = basis[..., None] * model.albedo(theta.albedo)[..., None, :]
    return fragments, interpolate(fragments, response.flatten(2)).unflatten(1, (9, 3))


def _face_proper(model: FaceModel, fragments: Fragments) -> Tensor:
    """Selects the pixels (B, H, W) where a triangle of the face proper is seen."""
    within = measured_area(model)[model.triangles].all(1)
    return fragments.mask & within[fragments.triangle.clamp(min=0)]


def _lit_psnr(fragments: Fragments, response: Tensor, pixels: Tensor, inside: Tensor) -> Tensor:
    linear = srgb_to_linear(pixels).permute(0, 2, 3, 1).flatten(0, 2)[fragments.pixel]
    used = inside.flatten()[fragments.pixel]
    image = torch.div(fragments.pixel, fragments.size**2, rounding_mode="floor")
    colour = torch.zeros_like(linear)
    for face in range(fragments.batch):
        mine = used & (image == face)
        if mine.any():
            light = fit_light(response[mine], linear[mine])
            colour[mine] = torch.einsum("pkc,kc->pc", response[mine].double(), light).float()
    drawn = linear_to_srgb(fragments.dense(colour)).permute(0, 3, 1, 2)
    return psnr(drawn, pixels, inside)
