"""Draws the parameters of synthetic faces: shape, expression, albedo, light, pose and framing, from one generator."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable import FaceModel, Theta

F32 = npt.NDArray[np.float32]
Rng = np.random.Generator

FOCAL = 4.5
# Where the middle of a crop lies on the head (metres) and half of what it shows: the framing that pipeline
# crops aim at.
CROP_CENTRE = (0.0, -0.038, 0.015)
CROP_HALF = 0.102


@dataclass(frozen=True)
class FaceSample:
    """One drawn face: the blocks of theta, and what the picture adds to them."""

    shape: F32
    expression: F32
    albedo: F32
    lighting: F32
    rotation_vector: F32
    translation: F32
    perspective: float


def sample_expression(rng: Rng, names: tuple[str, ...]) -> F32:
    """Strengths (52,) in 0..1 of the ARKit actions: sparse, paired left and right with some asymmetry."""
    index = {name: i for i, name in enumerate(names)}
    strengths = np.zeros(len(names), np.float32)

    def act(name: str, value: float) -> None:
        strengths[index[name]] = np.clip(value, 0, 1)

    def both(name: str, value: float, asymmetry: float = 0.12) -> None:
        act(f"{name}Left", value * (1 + asymmetry * rng.normal()))
        act(f"{name}Right", value * (1 + asymmetry * rng.normal()))

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    if chance(0.5):
        smile = rng.beta(1.6, 1.3)
        both("mouthSmile", smile, 0.12 if chance(0.85) else 0.7)
        both("cheekSquint", smile * rng.random() * 0.7)
        if chance(0.5):
            both("mouthUpperUp", smile * rng.random() * 0.7)
            both("mouthLowerDown", smile * rng.random() * 0.6)
        if chance(0.3):
            both("mouthDimple", rng.random() * 0.7)
    elif chance(0.25):
        both("mouthFrown", rng.random())
    if chance(0.45):
        act("jawOpen", rng.beta(1, 2.2))
        if chance(0.12):
            act("mouthClose", strengths[index["jawOpen"]] * rng.random() * 0.8)
    optional = {
        "mouthUpperUp": (0.12, 0.7),
        "mouthLowerDown": (0.15, 0.8),
        "mouthStretch": (0.12, 0.8),
        "mouthPress": (0.12, 0.8),
        "browOuterUp": (0.25, 1.0),
        "browDown": (0.25, 1.0),
        "eyeSquint": (0.22, 1.0),
        "eyeWide": (0.15, 1.0),
        "noseSneer": (0.12, 1.0),
        "mouthDimple": (0.08, 0.8),
    }
    for name, (probability, top) in optional.items():
        if chance(probability):
            both(name, rng.random() * top)
    single = {
        "browInnerUp": (0.25, 1.0),
        "mouthPucker": (0.12, 1.0),
        "mouthFunnel": (0.10, 0.8),
        "cheekPuff": (0.06, 1.0),
        "mouthRollLower": (0.10, 0.8),
        "mouthRollUpper": (0.10, 0.8),
        "mouthShrugLower": (0.10, 0.8),
        "mouthShrugUpper": (0.10, 0.8),
        "jawForward": (0.05, 1.0),
        "tongueOut": (0.015, 1.0),
    }
    for name, (probability, top) in single.items():
        if chance(probability):
            act(name, rng.random() * top)
    for pair in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        if chance(0.1):
            act(pair[int(rng.integers(2))], rng.random() * 0.8)
    if chance(0.16):
        both("eyeBlink", 1.0 if chance(0.4) else rng.random(), 0.05)
    elif chance(0.04):
        act(("eyeBlinkLeft", "eyeBlinkRight")[int(rng.integers(2))], rng.uniform(0.6, 1.0))
    aside, upwards = rng.normal(size=2) * 0.35
    act("eyeLookOutLeft" if aside > 0 else "eyeLookInLeft", abs(aside))
    act("eyeLookInRight" if aside > 0 else "eyeLookOutRight", abs(aside))
    direction = "Up" if upwards > 0 else "Down"
    act(f"eyeLook{direction}Left", abs(upwards))
    act(f"eyeLook{direction}Right", abs(upwards))
    return strengths


def directional_light(direction: F32) -> F32:
    """SH coefficients (9,) of the irradiance of a directional light of unit strength (Ramamoorthi & Hanrahan
    2001, eq. 12).
    """
    x, y, z = direction / np.linalg.norm(direction)
    basis = np.array(
        [
            0.282095,
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ]
    )
    lobes = np.pi * np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])
    return (basis * lobes).astype(np.float32)


def sample_lighting(rng: Rng, white: bool = False) -> F32:
    """Lighting (27,) of an ambient part and one to three coloured directional lights, or, if `white`, the same without
    their colours; brightness normalised roughly.
    """
    warmth = np.exp(rng.normal() * 0.12 * np.array([1, 0, -1]) + rng.normal(size=3) * 0.03)
    coefficients = np.zeros((9, 3))
    ambient = rng.uniform(0.15, 1.0)
    coefficients[0] += ambient / 0.282095 * warmth
    for _ in range(rng.integers(1, 4)):
        direction = rng.normal(size=3)
        direction[2] = abs(direction[2]) * rng.choice([1, 1, 1, -0.5]) + 0.2
        direction[1] += 0.4
        tint = warmth * np.exp(rng.normal(size=3) * (0.05 if rng.random() < 0.8 else 0.35))
        strength = rng.gamma(1.2, 0.5) * (1.2 - ambient)
        coefficients += strength * directional_light(direction.astype(np.float32))[:, None] * tint
    if white:
        coefficients = coefficients.mean(1, keepdims=True).repeat(3, 1)
    facing = (
        0.282095 * coefficients[0].mean() + 0.488603 * coefficients[2].mean() + 0.63 * coefficients[6].mean()
    )
    exposure = np.exp(rng.normal() * 0.3) * 1.15
    return np.asarray(coefficients * exposure / max(float(facing), 0.2), np.float32).reshape(-1)


def rotation_matrix(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """`Rz(roll) Rx(pitch) Ry(yaw)` (3,3), radians, in the frame x right, y up, z towards the camera."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def sample_face(rng: Rng, model: FaceModel, without: Collection[str] = ()) -> FaceSample:
    """Draws one face as a photo's crop shows it: framing jitters as detectors' boxes do; `without` as `render_faces`
    has it.
    """
    examples = model.albedo_examples.numpy()
    first, second = examples[rng.integers(len(examples), size=2)]
    mix = rng.beta(0.3, 0.3) if rng.random() < 0.3 else 1.0
    albedo = mix * first + (1 - mix) * second + rng.normal(size=first.shape) * 0.1
    farthest = 0.5 if "turns" in without else 1.25
    yaw = rng.normal() * 0.33 if rng.random() < 0.72 else rng.uniform(-farthest, farthest)
    rotation = rotation_matrix(yaw, rng.normal() * 0.2, rng.normal() * 0.16)
    jitter = 0.0 if "jitter" in without else 1.0
    half = CROP_HALF * np.exp(rng.normal() * 0.11 * jitter)
    centre = rotation @ np.array(CROP_CENTRE)
    centre[:2] += rng.normal(size=2) * 0.011 * jitter
    translation = -centre
    translation[2] = -FOCAL * 2 * half - centre[2]
    return FaceSample(
        shape=np.clip(rng.normal(size=model.n_shape), -3, 3).astype(np.float32),
        expression=sample_expression(rng, model.expression_names),
        albedo=albedo.astype(np.float32),
        lighting=sample_lighting(rng, white="coloured light" in without),
        rotation_vector=cv2.Rodrigues(rotation)[0].reshape(3).astype(np.float32),
        translation=translation.astype(np.float32),
        perspective=float(np.exp(rng.uniform(np.log(0.55), np.log(2.0)) * ("perspective" not in without))),
    )


def stack(samples: list[FaceSample]) -> Theta:
    """The samples' parameters as one batch."""
    return Theta(
        *(
            torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))
            for name in ("shape", "expression", "albedo", "lighting", "rotation_vector", "translation")
        )
    )
