"""Synthetic portraits with known theta: heads in a picture, as a camera takes it. A seed determines all of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.face_area import skin_of_head
from facegpt.synthetic import hair, lines, props
from facegpt.synthetic.creases import creases
from facegpt.synthetic.heads import Heads, draw_heads
from facegpt.synthetic.photo import developed, photograph
from facegpt.synthetic.sampling import FaceSample, sample_face, stack

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@dataclass
class SyntheticFaces:
    """A batch of portraits: images (B,W,W,3) uint8 sRGB, theta of each, landmarks2d (B,68,2) px, covered (B,) share of
    the face hidden, perspective (B,) the camera's distance in units of theta's.
    """

    images: U8
    theta: Theta
    landmarks2d: F32
    covered: F32
    perspective: F32


def render_faces(
    model: FaceModel, seed: int, count: int, size: int = 224, without: Collection[str] = ()
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
        heads = draw_heads(model, theta, samples, rng, size, without=without)
    images, covered = [], []
    for i, sample in enumerate(samples):
        picture, hidden = dress(rng, heads, i, model, sample, without=without)
        taken = photograph(rng, picture)
        images.append(developed(picture) if "camera" in without else taken)
        covered.append(hidden)
    perspective = np.asarray([sample.perspective for sample in samples], np.float32)
    return SyntheticFaces(
        np.stack(images), theta, heads.landmarks, np.asarray(covered, np.float32), perspective
    )


def render_samples(model: FaceModel, samples: list[FaceSample], seed: int, size: int = 224) -> SyntheticFaces:
    """Renders given faces at `size` px; face i's hair, occluders, background, camera and file follow from `seed` and i
    alone, so that two lists that differ in one parameter give pictures that differ in its effects alone.
    """
    cv2.setNumThreads(1)
    theta = stack(samples)
    with torch.no_grad():
        heads = draw_heads(model, theta, samples, np.random.default_rng([seed, size]), size)
    images, covered = [], []
    for i, sample in enumerate(samples):
        around, camera = np.random.default_rng([seed, size, i]).spawn(2)
        picture, hidden = dress(around, heads, i, model, sample)
        images.append(photograph(camera, picture))
        covered.append(hidden)
    perspective = np.asarray([sample.perspective for sample in samples], np.float32)
    return SyntheticFaces(
        np.stack(images), theta, heads.landmarks, np.asarray(covered, np.float32), perspective
    )


def concatenate(parts: list[SyntheticFaces]) -> SyntheticFaces:
    """Joins several batches into one."""
    return SyntheticFaces(
        np.concatenate([part.images for part in parts]),
        Theta.concatenate([part.theta for part in parts]),
        np.concatenate([part.landmarks2d for part in parts]),
        np.concatenate([part.covered for part in parts]),
        np.concatenate([part.perspective for part in parts]),
    )


def dress(
    rng: np.random.Generator,
    heads: Heads,
    index: int,
    model: FaceModel,
    sample: FaceSample,
    without: Collection[str] = (),
) -> tuple[F32, float]:
    """Puts head `index` of `heads` into a picture with hair, glasses, clothes and occluders, `without` some of these;
    returns the picture (W,W,3) and the hidden share of the face.
    """

    def kept(part: str, bare: F32, dressed: F32) -> F32:
        return bare if part in without else dressed

    face, mask, landmarks = heads.pixels[index], heads.head[index], heads.landmarks[index]
    crown = heads.crown[index]
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
    texture = hair.hair_texture(rng, size, colour)
    bald = rng.random() < 0.15
    skin = (np.clip(sample_skin(model, sample) * brightness, 0, 1) ** (1 / 2.2)).astype(np.float32)
    if not bald:
        picture = kept(
            "hair", picture, hair.hair_behind(rng, picture, texture, crown=crown, chin=chin, ears=ears)
        )
    picture = props.blend(picture, _soft(heads.neck[index] + mask), face)
    if rng.random() < 0.8:
        picture = kept("clothes", picture, props.clothes(rng, picture, chin, upright, max(width, 0.3 * size)))
    if "creases" not in without:
        face = _creased(rng.spawn(1)[0], face, mask, landmarks, model=model, sample=sample)
    picture = props.blend(picture, _soft(mask), _lined(rng, face, mask, landmarks, without))
    before = picture
    if not bald and rng.random() < 0.6:
        picture = kept(
            "hair", picture, hair.fringe(rng, picture, texture, crown=crown, brows=brows, ears=ears)
        )
    if not bald and rng.random() < 0.3:
        picture = kept("hair", picture, hair.locks(rng, picture, texture, ears=ears, chin=chin, crown=crown))
    if rng.random() < 0.22:
        picture = kept("glasses", picture, props.glasses(rng, picture, landmarks))
    if rng.random() < 0.07:
        picture = kept("hat", picture, hair.hat(rng, picture, crown, brows, ears))
    if rng.random() < 0.15:
        picture = kept("occluder", picture, props.occluder(rng, picture, skin))
    region = mask * (np.arange(size)[:, None] > landmarks[17:27, 1].min())
    changed = (np.abs(picture - before).max(-1) > 0.08) * region
    hidden = float(changed.sum() / max(region.sum(), 1.0))
    return picture, hidden


def _soft(mask: F32) -> F32:
    """Softens the edge of a mask inwards."""
    return np.asarray(np.minimum(cv2.GaussianBlur(mask, (0, 0), 0.5), mask), np.float32)


def _creased(
    rng: np.random.Generator, face: F32, mask: F32, landmarks: F32, model: FaceModel, sample: FaceSample
) -> F32:
    """Darkens `face` (W,W,3) where its actions crease the skin."""
    actions = dict(zip(model.expression_names, sample.expression.tolist(), strict=True))
    shade = creases(rng, len(face), landmarks, actions) * mask
    tone = (np.array((0.6, 0.45, 0.4)) * rng.uniform(0.4, 1.0)).astype(np.float32)
    return props.blend(face, shade, face * tone)


def _lined(rng: np.random.Generator, face: F32, mask: F32, landmarks: F32, without: Collection[str]) -> F32:
    """Draws what is finer than the vertices onto `face` (W,W,3), each kind of line in a tone of its own."""
    size = len(face)
    for part, draw, tone in (
        ("folds", lines.folds, (0.6, 0.45, 0.4)),
        ("brows", lines.brows, (0.25, 0.18, 0.12)),
        ("lips", lines.lips, (0.75, 0.3, 0.3)),
        ("lids", lines.eyelids, (0.25, 0.15, 0.1)),
    ):
        shade = draw(rng, size, landmarks) * mask
        dark = face * (np.array(tone, np.float32) * rng.uniform(0.2, 1.0)).astype(np.float32)
        face = face if part in without else props.blend(face, shade, dark)
    return face


@cache
def _skin_model(model: FaceModel) -> tuple[F32, F32]:
    """Averages the albedo model over the skin: mean (3,) and modes (A,3)."""
    rows = skin_of_head(model)
    return model.albedo_mean[rows].mean(0).numpy(), model.albedo_basis[:, rows].mean(1).numpy()


def sample_skin(model: FaceModel, sample: FaceSample) -> F32:
    """Computes the mean skin albedo (3,) of a sample, linear RGB."""
    mean, basis = _skin_model(model)
    return np.asarray(np.clip(mean + sample.albedo @ basis, 0, 1), np.float32)
