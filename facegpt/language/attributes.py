"""Graded visible attributes of a face, read off theta. Left and right are sides of the image throughout.

Every attribute is a scale cut at boundaries with a margin: near a boundary both neighbouring values are acceptable,
so that a value counts as right or wrong only where a person would call it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facegpt.morphable import Theta


@dataclass(frozen=True)
class Scale:
    """A scale of values in rising order, the boundaries between them, and the margin on either side of a boundary."""

    values: tuple[str, ...]
    boundaries: tuple[float, ...]
    margin: float

    def acceptable(self, measure: float) -> tuple[str, ...]:
        """Lists the values that are right for `measure`: one, or two within the margin of a boundary."""
        low = sum(measure > b + self.margin for b in self.boundaries)
        high = sum(measure >= b - self.margin for b in self.boundaries)
        return self.values[low : high + 1]

    def range(self, value: str) -> tuple[float, float]:
        """Bounds the measures for which `value` alone is right: from, to; infinite at the ends of the scale."""
        place = self.values.index(value)
        edges = [float("-inf"), *self.boundaries, float("inf")]
        return edges[place] + self.margin, edges[place + 1] - self.margin

    def nearest(self, measure: float) -> str:
        """Picks the value of `measure` by the boundaries alone."""
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
"""Values that a caption must state where they are certain."""


@dataclass(frozen=True)
class Attributes:
    """The measures of one face, by the names of `SCALES`."""

    measures: Mapping[str, float]

    def acceptable(self, name: str) -> tuple[str, ...]:
        """Lists the values of the attribute that are right."""
        return SCALES[name].acceptable(self.measures[name])

    def value(self, name: str) -> str:
        """Picks the nearest value of the attribute."""
        return SCALES[name].nearest(self.measures[name])

    def certain(self, name: str) -> bool:
        """Tells whether one value of the attribute alone is right."""
        return len(self.acceptable(name)) == 1

    def required(self, name: str) -> bool:
        """Tells whether a caption must state the attribute: its value is certain and one of `REQUIRED`."""
        return self.certain(name) and self.value(name) in REQUIRED.get(name, ())


def measures(expression: Tensor, rotation: Tensor, lighting: Tensor, names: Sequence[str]) -> Tensor:
    """Computes the measures (B, attributes), in the order of `SCALES`, of B faces, differentiably.

    `expression` (B,E) are ARKit strengths called `names`, `rotation` (B,3,3) turns the head into the camera's frame (x
    right in the image, y up, z towards the camera), `lighting` (B,27) are spherical-harmonic coefficients.
    """
    column = {name: index for index, name in enumerate(names)}

    def act(name: str) -> Tensor:
        return expression[:, column[name]]

    def mean(name: str) -> Tensor:
        return (act(f"{name}Left") + act(f"{name}Right")) / 2

    forward, right = rotation[:, :, 2], rotation[:, :, 0]
    light = lighting.unflatten(-1, (9, 3)).mean(-1)
    ambient = (0.282095 * light[:, 0]).clamp(min=1e-3)
    left_lid, right_lid = act("eyeBlinkLeft"), act("eyeBlinkRight")
    # A subject's left is the image's right.
    aside = (
        act("eyeLookOutLeft") - act("eyeLookInLeft") + act("eyeLookInRight") - act("eyeLookOutRight")
    ) / 2
    by_name = {
        "turn": torch.atan2(forward[:, 0], forward[:, 2]).rad2deg(),
        "nod": torch.asin(forward[:, 1].clamp(-0.999999, 0.999999)).rad2deg(),
        "tilt": torch.atan2(-right[:, 1], torch.hypot(right[:, 0], right[:, 2])).rad2deg(),
        "mouth": act("jawOpen") - act("mouthClose"),
        "smile": mean("mouthSmile"),
        "corners": mean("mouthFrown"),
        "lips": torch.maximum(act("mouthPucker"), act("mouthFunnel")),
        "cheeks": act("cheekPuff"),
        "lids": torch.minimum(left_lid, right_lid),
        "wink": (left_lid - right_lid).abs(),
        "wide": mean("eyeWide"),
        "gaze": aside,
        "gaze_height": mean("eyeLookUp") - mean("eyeLookDown"),
        "brows": torch.maximum(act("browInnerUp"), mean("browOuterUp")) - mean("browDown"),
        "nose": mean("noseSneer"),
        "light": 0.488603 * light[:, 3] / ambient,
        "light_height": 0.488603 * light[:, 1] / ambient,
    }
    return torch.stack([by_name[name] for name in SCALES], -1)


def describe(theta: Theta, names: Sequence[str]) -> list[Attributes]:
    """Measures the attributes of each face of `theta`, whose expression actions are called `names`."""
    rows = measures(theta.expression, theta.rotation, theta.lighting, names).tolist()
    return [Attributes(dict(zip(SCALES, row, strict=True))) for row in rows]
