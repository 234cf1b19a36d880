"""Graded visible attributes of a face, read off theta. Left and right are sides of the image throughout.

Every attribute is a scale cut at boundaries with a margin: near a boundary both neighbouring values are acceptable,
so that "right" and "wrong" are only said where a person would say them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Scale:
    """Values in rising order, the boundaries between them, and the margin on either side of a boundary."""

    values: tuple[str, ...]
    boundaries: tuple[float, ...]
    margin: float

    def acceptable(self, measure: float) -> tuple[str, ...]:
        """The values that may be said of `measure`: one, or two next to a boundary."""
        low = sum(measure > b + self.margin for b in self.boundaries)
        high = sum(measure >= b - self.margin for b in self.boundaries)
        return self.values[low : high + 1]

    def nearest(self, measure: float) -> str:
        """The value of `measure` by the boundaries alone."""
        return self.values[sum(measure > b for b in self.boundaries)]


SCALES: Mapping[str, Scale] = {
    "turn": Scale(("left", "front", "right"), (-14.0, 14.0), 7.0),
    "nod": Scale(("down", "level", "up"), (-13.0, 13.0), 6.0),
    "tilt": Scale(("left", "upright", "right"), (-13.0, 13.0), 6.0),
    "mouth": Scale(("closed", "slightly open", "open", "wide open"), (0.12, 0.38, 0.68), 0.10),
    "smile": Scale(("none", "slight", "broad"), (0.25, 0.62), 0.15),
    "corners": Scale(("none", "down"), (0.42,), 0.2),
    "lips": Scale(("none", "pursed"), (0.42,), 0.2),
    "cheeks": Scale(("none", "puffed"), (0.5,), 0.25),
    "lids": Scale(("open", "half closed", "closed"), (0.35, 0.75), 0.17),
    "wink": Scale(("none", "one closed"), (0.5,), 0.25),
    "wide": Scale(("none", "wide"), (0.5,), 0.25),
    "gaze": Scale(("left", "ahead", "right"), (-0.42, 0.42), 0.2),
    "gaze_height": Scale(("down", "level", "up"), (-0.42, 0.42), 0.2),
    "brows": Scale(("lowered", "relaxed", "raised"), (-0.42, 0.42), 0.2),
    "nose": Scale(("none", "wrinkled"), (0.5,), 0.25),
    "light": Scale(("left", "even", "right"), (-0.3, 0.3), 0.15),
    "light_height": Scale(("below", "level", "above"), (-0.35, 0.35), 0.18),
}
"""Attribute scales: angles in degrees, action strengths in 0..1, light as first-order over zeroth-order irradiance."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "turn": ("left", "right"),
    "mouth": ("open", "wide open"),
    "smile": ("broad",),
    "lids": ("closed",),
}
"""What a caption may not leave out where it is beyond doubt."""


@dataclass(frozen=True)
class Attributes:
    """Measure of every attribute in `SCALES` for one face."""

    measures: Mapping[str, float]

    def acceptable(self, name: str) -> tuple[str, ...]:
        return SCALES[name].acceptable(self.measures[name])

    def value(self, name: str) -> str:
        return SCALES[name].nearest(self.measures[name])

    def certain(self, name: str) -> bool:
        return len(self.acceptable(name)) == 1

    def required(self, name: str) -> bool:
        """Whether a caption has to say it: it is one of `REQUIRED`, and beyond doubt."""
        return self.certain(name) and self.value(name) in REQUIRED.get(name, ())


def describe(expression: Mapping[str, float], rotation: Array, lighting: Array) -> Attributes:
    """Measures the attributes of one face.

    `expression` are ARKit strengths by name, `rotation` (3,3) turns the head into the camera's frame (x right in the
    image, y up, z towards the camera), `lighting` (27,) or (9,3) are spherical-harmonic coefficients.
    """

    def mean(name: str) -> float:
        return (expression[f"{name}Left"] + expression[f"{name}Right"]) / 2

    forward, right = rotation[:, 2], rotation[:, 0]
    light = np.asarray(lighting, np.float64).reshape(9, 3).mean(1)
    ambient = max(0.282095 * light[0], 1e-3)
    left_lid, right_lid = expression["eyeBlinkLeft"], expression["eyeBlinkRight"]
    # A subject's left is the image's right.
    aside = (
        expression["eyeLookOutLeft"]
        - expression["eyeLookInLeft"]
        + expression["eyeLookInRight"]
        - expression["eyeLookOutRight"]
    ) / 2
    raised = max(expression["browInnerUp"], mean("browOuterUp"))
    return Attributes(
        {
            "turn": float(np.degrees(np.arctan2(forward[0], forward[2]))),
            "nod": float(np.degrees(np.arcsin(np.clip(forward[1], -1, 1)))),
            "tilt": float(np.degrees(np.arctan2(-right[1], np.hypot(right[0], right[2])))),
            "mouth": expression["jawOpen"] - expression["mouthClose"],
            "smile": mean("mouthSmile"),
            "corners": mean("mouthFrown"),
            "lips": max(expression["mouthPucker"], expression["mouthFunnel"]),
            "cheeks": expression["cheekPuff"],
            "lids": min(left_lid, right_lid),
            "wink": abs(left_lid - right_lid),
            "wide": mean("eyeWide"),
            "gaze": aside,
            "gaze_height": mean("eyeLookUp") - mean("eyeLookDown"),
            "brows": raised - mean("browDown"),
            "nose": mean("noseSneer"),
            "light": float(0.488603 * light[3] / ambient),
            "light_height": float(0.488603 * light[1] / ambient),
        }
    )
