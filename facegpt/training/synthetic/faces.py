"""Synthetic portraits with known theta: rendered, dressed, photographed. The same seed gives the same pictures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import cv2
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
from facegpt.training.synthetic import props
from facegpt.training.synthetic.photo import developed, photograph
from facegpt.training.synthetic.sampling import FOCAL, FaceSample, sample_face, stack
from facegpt.training.synthetic.shadow import self_shadow

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@dataclass
class SyntheticFaces:
    """A batch: images (B,W,W,3) uint8 sRGB, theta of each, landmarks2d (B,68,2) px, covered (B,) share of the
    face hidden, perspective (B,) the camera's distance in units of theta's.
    """

    images: U8
    theta: Theta
    landmarks2d: F32
    covered: F32
    perspective: F32


def render_faces(
    model: FaceModel, seed: int, count: int, size: int = 112, without: Collection[str] = ()
) -> SyntheticFaces:
    """Renders `count` faces of stream `seed` at `size` px; `without` names what to leave out (`parts.PARTS`), and all
    else stays as it would be.

    Faces are seen by cameras of varying distance (theta's translation is that of the fixed-field-of-view camera with
    the same scale at the head's centre), with vertex colours of the albedo model, spherical-harmonics light,
    self-shadow and a specular lobe, then put into a picture by `dress` and degraded by `photograph`.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, size])
    samples = [sample_face(rng, model, without) for _ in range(count)]
    theta = stack(samples)
    with torch.no_grad():
        pixels, mask, landmarks, crown = _render(model, theta, samples, rng, size, without)
    images, covered = [], []
    for i, sample in enumerate(samples):
        picture, hidden = dress(rng, pixels[i], mask[i], landmarks[i], crown[i], model, sample, without)
        taken = photograph(rng, picture)
        images.append(developed(picture) if "camera" in without else taken)
        covered.append(hidden)
    perspective = np.asarray([sample.perspective for sample in samples], np.float32)
    return SyntheticFaces(np.stack(images), theta, landmarks, np.asarray(covered, np.float32), perspective)


def render_samples(model: FaceModel, samples: list[FaceSample], seed: int, size: int = 112) -> SyntheticFaces:
    """Renders given faces at `size` px; face i's hair, things in front, background, camera and file follow from `seed`
    and i alone, so that two lists that differ in one parameter give pictures that differ in what it causes.
    """
    cv2.setNumThreads(1)
    theta = stack(samples)
    with torch.no_grad():
        pixels, mask, landmarks, crown = _render(
            model, theta, samples, np.random.default_rng([seed, size]), size
        )
    images, covered = [], []
    for i, sample in enumerate(samples):
        around, camera = np.random.default_rng([seed, size, i]).spawn(2)
        picture, hidden = dress(around, pixels[i], mask[i], landmarks[i], crown[i], model, sample)
        images.append(photograph(camera, picture))
        covered.append(hidden)
    perspective = np.asarray([sample.perspective for sample in samples], np.float32)
    return SyntheticFaces(np.stack(images), theta, landmarks, np.asarray(covered, np.float32), perspective)


def concatenate(parts: list[SyntheticFaces]) -> SyntheticFaces:
    """Several batches as one."""
    return SyntheticFaces(
        np.concatenate([part.images for part in parts]),
        Theta.concatenate([part.theta for part in parts]),
        np.concatenate([part.landmarks2d for part in parts]),
        np.concatenate([part.covered for part in parts]),
        np.concatenate([part.perspective for part in parts]),
    )


def _render(
    model: FaceModel,
    theta: Theta,
    samples: list[FaceSample],
    rng: np.random.Generator,
    size: int,
    without: Collection[str] = (),
) -> tuple[F32, F32, F32, F32]:
    """Pictures (B,W,W,3) sRGB, masks (B,W,W), landmarks (B,68,2) px and the crown (B,2) px."""
    factor = torch.tensor([sample.perspective for sample in samples])
    translation = theta.translation * torch.stack(
        [torch.ones_like(factor), torch.ones_like(factor), factor], 1
    )
    rotation = theta.rotation
    local = model.vertices(theta.shape, theta.expression)
    points = to_camera(local, rotation, translation)
    camera = Camera(size, FOCAL * factor)
    fragments = rasterize(camera.screen(points), model.triangles, size)
    mottle = torch.from_numpy(rng.normal(size=(len(samples), model.n_vertices, 1)).astype(np.float32)) * 0.04
    albedo = model.albedo(theta.albedo) * (1 + mottle)
    normals = torch.nn.functional.normalize(
        interpolate(fragments, vertex_normals(points, model.triangles)), dim=-1
    )
    image = torch.div(fragments.pixel, size * size, rounding_mode="floor")
    lighting = theta.lighting.view(-1, 9, 3)
    depth = torch.from_numpy(rng.uniform(0.5, 1.3, (len(samples), 1)).astype(np.float32))
    irradiance = (sh_basis(normals)[:, :, None] * lighting[image]).sum(1).clamp(min=0.02)
    if "self-shadow" not in without:
        left = self_shadow(model)(theta.lighting, rotation) ** depth
        irradiance = irradiance * interpolate(fragments, left[..., None])
    colour = interpolate(fragments, albedo) * irradiance
    shine = _specular(rng, normals, lighting, image, len(samples))
    colour = colour if "shine" in without else colour + shine
    picture = linear_to_srgb(fragments.dense(colour.clamp(0, 1)))
    landmarks, _ = camera.project(to_camera(model.landmarks(local, rotation), rotation, translation))
    top = local[:, model.mean[:, 1].argmax()][:, None]
    crown, _ = camera.project(to_camera(top, rotation, translation))
    return picture.numpy(), fragments.mask.float().numpy(), landmarks.numpy(), crown[:, 0].numpy()


def _specular(
    rng: np.random.Generator, normals: torch.Tensor, lighting: torch.Tensor, image: torch.Tensor, count: int
) -> torch.Tensor:
    """A Blinn lobe (P,3) towards the dominant light, viewer straight ahead: wet or oily skin and eyes."""
    dominant = lighting[:, [3, 1, 2]].mean(-1)
    half = torch.nn.functional.normalize(dominant, dim=-1) + torch.tensor([0.0, 0.0, 1.0])
    half = torch.nn.functional.normalize(half, dim=-1)
    sharpness = torch.from_numpy(rng.uniform(6, 40, count).astype(np.float32))
    strength = torch.from_numpy((rng.gamma(1.0, 0.06, count)).astype(np.float32))
    cosine = (normals * half[image]).sum(-1).clamp(0, 1)
    return (strength[image] * cosine ** sharpness[image])[:, None].expand(-1, 3)


def dress(
    rng: np.random.Generator,
    face: F32,
    mask: F32,
    landmarks: F32,
    crown: F32,
    model: FaceModel,
    sample: FaceSample,
    without: Collection[str] = (),
) -> tuple[F32, float]:
    """Puts a rendered face into a picture with hair, glasses, clothes and things in front, but `without` some; returns
    it and the hidden share.
    """

    def kept(part: str, bare: F32, dressed: F32) -> F32:
        return bare if part in without else dressed

    size = len(face)
    picture = props.background(rng, size)
    chin, ears = landmarks[8], landmarks[[0, 16]]
    brows = landmarks[[17, 26]]
    upright = (crown - chin).astype(np.float32)
    upright = upright / max(float(np.linalg.norm(upright)), 1e-3)
    width = float(np.linalg.norm(ears[1] - ears[0]))
    brightness = float(np.clip(sample.lighting.reshape(9, 3)[0].mean() * 0.28, 0.2, 1.2))
    shade = np.exp(rng.uniform(np.log(0.02), np.log(0.6))) * brightness
    tint = np.array([1, 0.72, 0.5]) ** rng.uniform(0.2, 1.1)
    colour = (np.clip(shade * tint, 0, 1) ** (1 / 2.2)).astype(np.float32)
    texture = props.hair_texture(rng, size, colour)
    bald = rng.random() < 0.15
    skin = (np.clip(sample_skin(model, sample) * brightness, 0, 1) ** (1 / 2.2)).astype(np.float32)
    if not bald:
        picture = kept("hair", picture, props.hair_behind(rng, picture, texture, crown, chin, ears))
    if rng.random() < 0.8:
        picture = kept("clothes", picture, props.clothes(rng, picture, chin, upright, max(width, 0.3 * size)))
    soft = cv2.GaussianBlur(mask, (0, 0), 0.5)
    picture = props.blend(picture, np.minimum(soft, mask).astype(np.float32), face)
    before = picture
    if not bald and rng.random() < 0.6:
        picture = kept("hair", picture, props.fringe(rng, picture, texture, crown, brows, ears))
    if not bald and rng.random() < 0.3:
        picture = kept("hair", picture, props.locks(rng, picture, texture, ears, chin, crown))
    if rng.random() < 0.22:
        picture = kept("glasses", picture, props.glasses(rng, picture, landmarks))
    if rng.random() < 0.15:
        picture = kept("occluder", picture, props.occluder(rng, picture, skin))
    region = mask * (np.arange(size)[:, None] > landmarks[17:27, 1].min())
    changed = (np.abs(picture - before).max(-1) > 0.08) * region
    hidden = float(changed.sum() / max(region.sum(), 1.0))
    return picture, hidden


@cache
def _skin_model(model: FaceModel) -> tuple[F32, F32]:
    rows = model.regions == 0
    return model.albedo_mean[rows].mean(0).numpy(), model.albedo_basis[:, rows].mean(1).numpy()


def sample_skin(model: FaceModel, sample: FaceSample) -> F32:
    """Mean skin albedo (3,) of a sample, linear RGB."""
    mean, basis = _skin_model(model)
    return np.asarray(np.clip(mean + sample.albedo @ basis, 0, 1), np.float32)
