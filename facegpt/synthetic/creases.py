"""Creases of the skin that come with actions: a raised brow creases the forehead, a smile the cheeks.

They distinguish an action from a shape that resembles it at rest, such as raised brows from high ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from facegpt.synthetic.lines import F32, SIDES, Rng, Shade, fold_curve, upwards, visible_sides

_BEGINS, _FULL = 0.1, 0.7
"""Strengths of an action at which skin begins to fold, and beyond which its lines grow no darker."""


def creases(rng: Rng, size: int, landmarks: F32, actions: Mapping[str, float]) -> F32:
    """Draws the shade (size,size) of the creases that `actions` (ARKit names, 0..1) make along
    `landmarks` (68,2) px.

    Their depth is drawn per face: none in smooth skin, and in old skin some stay without an action.
    """
    shade = Shade(size)
    depth = rng.uniform(0.2, 1.0) * (rng.random() < 0.88)
    stays = rng.uniform(0, 0.6) * (rng.random() < 0.3)
    crease = _Creases(rng, shade, landmarks, actions, depth=depth, stays=stays)
    crease.forehead()
    crease.frown()
    for side, (name, visible) in enumerate(zip(("Right", "Left"), visible_sides(landmarks), strict=True)):
        crease.eye(side, name, visible)
        crease.nose(side, name, visible)
        crease.cheek(side, name, visible)
    crease.chin()
    return shade.small()


class _Creases:
    """The creases of one face, zone by zone; each zone draws the same numbers from `rng` whatever is visible."""

    def __init__(
        self, rng: Rng, shade: Shade, landmarks: F32, actions: Mapping[str, float], depth: float, stays: float
    ) -> None:
        self.rng, self.shade, self.landmarks, self.actions = rng, shade, landmarks, actions
        self.depth, self.stays = depth, stays
        self.up = upwards(landmarks)
        self.visible = visible_sides(landmarks)
        # Of the nearer eye: the other is foreshortened.
        self.eye_length = max(float(np.linalg.norm(landmarks[s[0]] - landmarks[s[2]])) for s in SIDES)

    def _strength(self, *strengths: float) -> float:
        """Computes the darkness of the lines that come with the strongest of some actions."""
        moved = (max(strengths) - _BEGINS) / (_FULL - _BEGINS)
        return float(self.depth * max(min(moved, 1.0), self.stays * self.rng.random()))

    def _fold(self, points: npt.NDArray[np.floating], width: float, strength: float) -> None:
        """Draws a soft line through `points` (N,2) that fades towards its ends."""
        marks = np.linspace(0, len(points) - 1, 9)
        place = np.stack([np.interp(marks, np.arange(len(points)), axis) for axis in points.T], 1)
        for cut, share in enumerate((0.35, 0.7, 1.0)):
            self.shade.line(place[cut : 9 - cut].astype(np.float32), width, strength * share, 0.8 * width)

    def _action(self, name: str) -> float:
        return float(self.actions.get(name, 0.0))

    def forehead(self) -> None:
        """Draws lines across: in the middle for browInnerUp, on a side for its browOuterUp, all over for both."""
        rng, length = self.rng, self.eye_length
        raised = [self._action(f"browOuterUp{name}") for name in ("Right", "Left")]
        right, left = (self._strength(action) for action in raised)
        middle = self._strength(self._action("browInnerUp"), min(raised))
        above, apart, width = rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.36), rng.uniform(0.04, 0.1)
        brow = self.landmarks[17:27]
        for number in range(int(rng.integers(2, 6))):
            height = above + apart * number + 0.03 * rng.normal(size=(10, 1))
            waved = brow + self.up * height * length
            for points, strength, visible in (
                (waved[:4], right, self.visible[0]),
                (waved[3:7], middle, all(self.visible)),
                (waved[6:], left, self.visible[1]),
            ):
                self._fold(points, width * length, strength * visible)

    def frown(self) -> None:
        """Draws one to three upright lines between the brows."""
        rng, length = self.rng, self.eye_length
        strength = self._strength(self._action("browDownLeft"), self._action("browDownRight"))
        left, right = self.landmarks[21], self.landmarks[22]
        width, high = rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.6)
        for place in rng.permutation([0.3, 0.5, 0.7])[: int(rng.integers(1, 4))]:
            foot = left + place * (right - left) - self.up * 0.2 * length
            line = np.stack([foot, foot + self.up * high * length])
            self._fold(line, width * length, strength * all(self.visible))

    def eye(self, side: int, name: str, visible: bool) -> None:
        """Draws crow's feet beside the outer corner, and a line below the lower lid."""
        rng = self.rng
        corner, end = (self.landmarks[SIDES[side][index]] for index in (0, 2))
        length = float(np.linalg.norm(corner - end))
        strength = (
            self._strength(self._action(f"eyeSquint{name}"), self._action(f"cheekSquint{name}")) * visible
        )
        out = (corner - end) / max(length, 1e-3)
        aside = np.array([-out[1], out[0]])
        width, gap, reach = rng.uniform(0.04, 0.08), rng.uniform(0.15, 0.3), rng.uniform(0.2, 0.45)
        for angle in np.linspace(-0.6, 0.6, int(rng.integers(2, 5))):
            way = np.cos(angle) * out + np.sin(angle) * aside
            line = np.stack([corner + way * gap * length, corner + way * (gap + reach) * length])
            self._fold(line, width * length, strength)
        under = self.landmarks[[SIDES[side][0], *SIDES[side][3], SIDES[side][2]]]
        below = rng.uniform(0.12, 0.22)
        self._fold(under - self.up * below * length, 0.07 * length, strength)

    def nose(self, side: int, name: str, visible: bool) -> None:
        """Draws lines on the side of the nose's bridge, rising outwards."""
        rng, length = self.rng, self.eye_length
        strength = self._strength(self._action(f"noseSneer{name}")) * visible
        top, tip = self.landmarks[27], self.landmarks[30]
        out = self.landmarks[SIDES[side][0]] - self.landmarks[SIDES[side][2]]
        out = out / max(float(np.linalg.norm(out)), 1e-3)
        width, rise = rng.uniform(0.04, 0.08), rng.uniform(0.05, 0.25)
        for down in (0.1, 0.25, 0.4)[: int(rng.integers(2, 4))]:
            start = top + down * (tip - top) + out * 0.1 * length
            line = np.stack([start, start + (out * 0.25 + self.up * rise) * length])
            self._fold(line, width * length, strength)

    def cheek(self, side: int, name: str, visible: bool) -> None:
        """Draws the fold beside the mouth, the one at its corner, and the one below it."""
        rng = self.rng
        fold = self._strength(
            *(self._action(f"{what}{name}") for what in ("mouthSmile", "noseSneer", "mouthUpperUp"))
        )
        dimple = self._strength(*(self._action(f"{what}{name}") for what in ("mouthSmile", "mouthDimple")))
        droop = self._strength(self._action(f"mouthFrown{name}"))
        reach, width = rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.13)
        curve, length = fold_curve(self.landmarks, side, self.up, reach)
        self._fold(curve, width * length, fold * visible)
        corner = self.landmarks[SIDES[side][6]]
        out = (self.landmarks[SIDES[side][0]] - self.landmarks[SIDES[side][2]]) / length
        arc = (
            corner + np.stack([out * 0.14 + self.up * 0.18, out * 0.22, out * 0.14 - self.up * 0.2]) * length
        )
        self._fold(arc, 0.08 * length, dimple * visible)
        line = corner + np.stack([out * 0.04 - self.up * 0.06, out * 0.1 - self.up * 0.5]) * length
        self._fold(line, 0.08 * length, droop * visible)

    def chin(self) -> None:
        """Draws the hollow between lip and chin."""
        strength = self._strength(self._action("mouthShrugLower"), self._action("mouthPucker"))
        lip, chin = self.landmarks[[58, 57, 56]], self.landmarks[8]
        line = lip + 0.35 * (chin - self.landmarks[57])
        length = self.eye_length
        self._fold(line, 0.12 * length, strength * all(self.visible))
