"""The random parameters of synthetic faces: shape, expression, albedo, light, pose and framing."""

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
# The middle of a crop on the head, and half the side of what it shows, in metres: the framing that crops of photos
# aim at.
CROP_CENTRE = (0.0, -0.038, 0.015)
CROP_HALF = 0.102


@dataclass(frozen=True)
class FaceSample:
    """A drawn face: the blocks of theta, and the camera's distance `perspective` in units of theta's."""

    shape: F32
    expression: F32
    albedo: F32
    lighting: F32
    rotation_vector: F32
    translation: F32
    perspective: float


PAIRED_ACTIONS = {
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
"""Actions of both sides that are drawn independently: their probability, and their largest strength."""
SINGLE_ACTIONS = {
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
"""Actions of the middle of the face, likewise."""


class _Strengths:
    """The strengths (E,) of actions while they are drawn from `rng`."""

    def __init__(self, rng: Rng, names: tuple[str, ...]) -> None:
        self.rng = rng
        self.index = {name: i for i, name in enumerate(names)}
        self.values = np.zeros(len(names), np.float32)

    def chance(self, probability: float) -> bool:
        """Draws true with this probability."""
        return bool(self.rng.random() < probability)

    def set(self, name: str, strength: float) -> None:
        """Sets one action, clipped to 0..1."""
        self.values[self.index[name]] = np.clip(strength, 0, 1)

    def set_both(self, name: str, strength: float, asymmetry: float = 0.12) -> None:
        """Sets the action of both sides, each with a relative deviation of `asymmetry`."""
        self.set(f"{name}Left", strength * (1 + asymmetry * self.rng.normal()))
        self.set(f"{name}Right", strength * (1 + asymmetry * self.rng.normal()))

    def draw_mouth(self) -> None:
        """Draws a smile with what goes with it, or drooping corners; then how far the jaw is open."""
        rng = self.rng
        if self.chance(0.5):
            smile = rng.beta(1.6, 1.3)
            self.set_both("mouthSmile", smile, 0.12 if self.chance(0.85) else 0.7)
            self.set_both("cheekSquint", smile * rng.random() * 0.7)
            if self.chance(0.5):
                self.set_both("mouthUpperUp", smile * rng.random() * 0.7)
                self.set_both("mouthLowerDown", smile * rng.random() * 0.6)
            if self.chance(0.3):
                self.set_both("mouthDimple", rng.random() * 0.7)
        elif self.chance(0.25):
            self.set_both("mouthFrown", rng.random())
        if self.chance(0.45):
            self.set("jawOpen", rng.beta(1, 2.2))
            if self.chance(0.12):
                self.set("mouthClose", self.values[self.index["jawOpen"]] * rng.random() * 0.8)

    def draw_eyes(self) -> None:
        """Draws closing lids of both eyes or of one, and the gaze."""
        rng = self.rng
        if self.chance(0.16):
            self.set_both("eyeBlink", 1.0 if self.chance(0.4) else rng.random(), 0.05)
        elif self.chance(0.04):
            self.set(("eyeBlinkLeft", "eyeBlinkRight")[int(rng.integers(2))], rng.uniform(0.6, 1.0))
        aside, upwards = rng.normal(size=2) * 0.35
        self.set("eyeLookOutLeft" if aside > 0 else "eyeLookInLeft", abs(aside))
        self.set("eyeLookInRight" if aside > 0 else "eyeLookOutRight", abs(aside))
        direction = "Up" if upwards > 0 else "Down"
        self.set(f"eyeLook{direction}Left", abs(upwards))
        self.set(f"eyeLook{direction}Right", abs(upwards))


def sample_expression(rng: Rng, names: tuple[str, ...]) -> F32:
    """Draws strengths (52,) in 0..1 of the ARKit actions: sparse, paired left and right with some asymmetry."""
    strengths = _Strengths(rng, names)
    strengths.draw_mouth()
    for name, (probability, largest) in PAIRED_ACTIONS.items():
        if strengths.chance(probability):
            strengths.set_both(name, rng.random() * largest)
    for name, (probability, largest) in SINGLE_ACTIONS.items():
        if strengths.chance(probability):
            strengths.set(name, rng.random() * largest)
    for pair in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        if strengths.chance(0.1):
            strengths.set(pair[int(rng.integers(2))], rng.random() * 0.8)
    strengths.draw_eyes()
    return strengths.values


def directional_light(direction: F32) -> F32:
    """Computes SH coefficients (9,) of the irradiance of a directional light of unit strength (Ramamoorthi and
    Hanrahan, SIGGRAPH 2001, eq. 12).
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
    """Draws lighting (27,): an ambient part and one to three coloured directional lights, or, if `white`, the same
    without colours; its brightness is normalised roughly.
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
    """Computes `Rz(roll) Rx(pitch) Ry(yaw)` (3,3), radians, in the frame x right, y up, z towards the camera."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def sample_face(rng: Rng, model: FaceModel, without: Collection[str] = ()) -> FaceSample:
    """Draws one face in a crop, with the jitter of detectors' boxes; `without` as in `render_faces`."""
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
    """Stacks the samples' parameters into one batch."""
    return Theta(
        *(
            torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))
            for name in ("shape", "expression", "albedo", "lighting", "rotation_vector", "translation")
        )
    )
