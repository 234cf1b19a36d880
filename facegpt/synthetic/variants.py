"""Variants of a drawn face: one property set to a value, everything else as it was drawn."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from facegpt.morphable import FaceModel
from facegpt.morphable.face_area import tone_cheeks
from facegpt.rendering import LUMINANCE
from facegpt.synthetic.sampling import CROP_CENTRE, F32, FaceSample, directional_light, rotation_matrix


class SkinTone:
    """The tone of the skin of faces of a face model, and how to set it.

    The tone is the mean luminance of the cheeks' albedo (`tone_cheeks`). A change of it moves the albedo coefficients
    along their regression on the tone over the model's examples, so that what goes with the tone of skin (lips, lids)
    goes along and what does not (hair, brows, eyes) stays.
    """

    def __init__(self, model: FaceModel) -> None:
        cheeks = tone_cheeks(model).numpy()
        self._middle = float((model.albedo_mean.numpy()[cheeks] @ np.array(LUMINANCE)).mean())
        self._reading = (model.albedo_basis.numpy()[:, cheeks] @ np.array(LUMINANCE)).mean(1)
        examples = model.albedo_examples.numpy().astype(np.float64)
        self.examples = self._middle + examples @ self._reading
        """Tones of the model's examples."""
        spread = self.examples - self.examples.mean()
        slope = (examples - examples.mean(0)).T @ spread / (spread @ spread)
        # The regression reproduces the tone but for rounding; this makes it exact.
        self._slope = slope / (slope @ self._reading)

    def of(self, albedo: F32) -> float:
        """Computes the tone of albedo coefficients (A,), linear luminance 0..1."""
        return float(self._middle + albedo @ self._reading)

    def set(self, sample: FaceSample, tone: float) -> FaceSample:
        """Changes the albedo of a sample to this tone."""
        change = (tone - self.of(sample.albedo)) * self._slope
        return replace(sample, albedo=(sample.albedo + change).astype(np.float32))


def with_yaw(sample: FaceSample, yaw: float) -> FaceSample:
    """Turns the face to `yaw` (radians, positive to the image's right), pitch, roll and place in the crop kept."""
    before, _ = cv2.Rodrigues(sample.rotation_vector.astype(np.float64))
    # before = Rz(roll) Rx(pitch) Ry(yaw), as `rotation_matrix` builds it.
    pitch = float(np.arcsin(np.clip(before[2, 1], -1, 1)))
    roll = float(np.arctan2(-before[0, 1], before[1, 1]))
    after = rotation_matrix(yaw, pitch, roll)
    moved = sample.translation + (before - after) @ np.array(CROP_CENTRE)
    return replace(
        sample,
        rotation_vector=cv2.Rodrigues(after)[0].reshape(3).astype(np.float32),
        translation=moved.astype(np.float32),
    )


def with_shape_along(sample: FaceSample, direction: npt.NDArray[np.floating], place: float) -> FaceSample:
    """Moves the shape to `place` along `direction` (S,), whose ends are -0.5 and 0.5; components perpendicular to it
    stay.
    """
    current = sample.shape @ direction / (direction @ direction)
    return replace(sample, shape=(sample.shape + (place - current) * direction).astype(np.float32))


def light(strength: float, aside: float = 0.0) -> F32:
    """Makes white light (27,) that gives a surface towards the camera the irradiance `strength`: from all sides if
    `aside` is 0, else a quarter of it from all sides and the rest from 60 degrees to the image's right (1) or left
    (-1).
    """
    around = np.zeros(9)
    around[0] = 1 / 0.282095
    total = around
    if aside:
        lamp = directional_light(np.array([aside * np.sqrt(3), 0.0, 1.0], np.float32))
        facing = 0.282095 * lamp[0] + 0.488603 * lamp[2] + 0.630784 * lamp[6]
        total = 0.25 * around + 0.75 * lamp / facing
    return np.repeat(strength * total, 3).astype(np.float32)
