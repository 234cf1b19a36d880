"""Dark lines of a face that are finer than the vertices of a head model: edges and creases of lids, brows, lips, the
folds beside the mouth.

They are drawn along the 68 landmarks, as shade in 0..1 at four times the picture's resolution.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Rng = np.random.Generator
_FINE = 4
_VISIBLE = 0.4
"""An eye narrower than this share of the other is on the far side of a turned head, where nothing is drawn."""
# Outer corner, upper lid, inner corner, lower lid and brow (both from outside), wing of the nose, corner of the mouth.
SIDES = (
    (36, (37, 38), 39, (41, 40), (17, 18, 19, 20, 21), 31, 48),
    (45, (44, 43), 42, (46, 47), (26, 25, 24, 23, 22), 35, 54),
)


class Shade:
    """A canvas of darkness in 0..1 for one picture; lengths and places are in its pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values = np.zeros((size * _FINE, size * _FINE), np.float32)

    def line(self, points: F32, width: float, strength: float, blur: float) -> None:
        """Adds a line through `points` (N,2), if `strength` is above 0."""
        thick = max(1, round(width * _FINE))
        self._add(
            points,
            lambda drawn, places: cv2.polylines(
                drawn, [places], False, 1.0, thickness=thick, lineType=cv2.LINE_AA, shift=4
            ),
            strength,
            blur,
            thick,
        )

    def area(self, points: F32, strength: float, blur: float) -> None:
        """Adds the inside of a polygon (N,2), if `strength` is above 0."""
        self._add(
            points, lambda drawn, places: cv2.fillPoly(drawn, [places], 1.0, cv2.LINE_AA, 4), strength, blur
        )

    def _add(
        self,
        points: F32,
        draw: Callable[[F32, npt.NDArray[np.int32]], object],
        strength: float,
        blur: float,
        thick: int = 1,
    ) -> None:
        places, sigma = (points + 0.5) * _FINE, blur * _FINE
        around = int(np.ceil(thick / 2 + 4 * max(sigma, 0) + 2))
        start = np.clip(np.floor(places.min(0)).astype(int) - around, 0, len(self.values))
        stop = np.clip(np.ceil(places.max(0)).astype(int) + around, 0, len(self.values))
        if strength <= 0 or (stop <= start).any():
            return
        window = self.values[start[1] : stop[1], start[0] : stop[0]]
        drawn = np.zeros_like(window)
        draw(drawn, np.round((places - start) * 16).astype(np.int32))
        if sigma > 0.3:
            drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), sigma), np.float32)
        np.maximum(window, drawn * np.float32(strength), out=window)

    def small(self) -> F32:
        """Reduces the canvas to the shade (size,size) of each pixel."""
        size = (self.size, self.size)
        return np.asarray(
            cv2.resize(self.values, size, interpolation=cv2.INTER_AREA).clip(0, 0.95), np.float32
        )


def visible_sides(landmarks: F32) -> list[bool]:
    """Tells of the right and the left side of the face whether its eye is wide enough to be seen."""
    lengths = [float(np.linalg.norm(landmarks[side[0]] - landmarks[side[2]])) for side in SIDES]
    return [length >= max(_VISIBLE * max(lengths), 3) for length in lengths]


def upwards(landmarks: F32) -> F32:
    """Computes the unit vector (2,) from the chin to the bridge of the nose."""
    up = landmarks[27] - landmarks[8]
    return np.asarray(up / max(float(np.linalg.norm(up)), 1e-3), np.float32)


def eyelids(rng: Rng, size: int, landmarks: F32) -> F32:
    """Draws the shade (size,size) of lashes and made-up edges, creases, folds that hang over the lid, and bags below
    the eyes of `landmarks` (68,2) px.
    """
    shade, up = Shade(size), upwards(landmarks)
    lash, lash_width = rng.uniform(0.1, 1.0) * (rng.random() < 0.85), rng.uniform(0.05, 0.22)
    crease, lift, wide = rng.uniform(0, 0.8), rng.uniform(0.12, 0.4), rng.uniform(0.04, 0.15)
    fold = rng.uniform(0, 0.6) * (rng.random() < 0.6)
    bag, lower, flick = rng.uniform(0, 0.5), rng.uniform(0, 0.7), rng.uniform(0, 0.25)
    tailed = rng.random() < 0.5
    for side, visible in zip(SIDES, visible_sides(landmarks), strict=True):
        if not visible:
            continue
        corner, upper, end, under = (landmarks[list(np.atleast_1d(index))] for index in side[:4])
        length = float(np.linalg.norm(corner - end))
        rim = np.concatenate([corner, upper, end])
        tail = corner + (corner - end) * flick
        shade.line(np.concatenate([tail, rim]) if tailed else rim, lash_width * length, lash, 0.02 * length)
        shade.line(rim + up * lift * length, wide * length, crease, wide * length * 0.6)
        shade.line(rim + up * (lift + 0.1) * length, 0.35 * length, fold, 0.15 * length)
        rim = np.concatenate([corner, under, end])
        shade.line(rim, 0.06 * length, lower, 0.03 * length)
        shade.line(rim - up * 0.3 * length, 0.1 * length, bag, 0.1 * length)
    return shade.small()


def brows(rng: Rng, size: int, landmarks: F32) -> F32:
    """Draws the shade (size,size) of brows, thin to bushy."""
    shade, up = Shade(size), upwards(landmarks)
    strength, width, drop = rng.uniform(0, 0.9), rng.uniform(0.06, 0.3), rng.normal() * 0.05
    for side, visible in zip(SIDES, visible_sides(landmarks), strict=True):
        length = float(np.linalg.norm(landmarks[side[0]] - landmarks[side[2]]))
        if visible:
            line = landmarks[list(side[4])] - up * drop * length
            shade.line(line[:2], 0.6 * width * length, strength, 0.05 * length)
            shade.line(line[1:], width * length, strength, 0.06 * length)
    return shade.small()


def lips(rng: Rng, size: int, landmarks: F32) -> F32:
    """Draws the shade (size,size) of painted or dark lips, the line where they meet and the hollow below them."""
    shade, up = Shade(size), upwards(landmarks)
    length = float(np.linalg.norm(landmarks[54] - landmarks[48]))
    if not all(visible_sides(landmarks)) or length < 4:
        return shade.small()
    paint, between, hollow = rng.uniform(-0.3, 0.6), rng.uniform(0, 0.8), rng.uniform(-0.2, 0.4)
    upper = np.concatenate([landmarks[48:55], landmarks[64:59:-1]])
    lower = np.concatenate([landmarks[54:60], landmarks[48:49], landmarks[60:61], landmarks[67:63:-1]])
    if paint > 0:
        shade.area(upper, paint, 0.02 * length)
        shade.area(lower, paint * rng.uniform(0.5, 1), 0.02 * length)
    for inner in (landmarks[60:65], landmarks[[60, 67, 66, 65, 64]]):
        shade.line(
            np.concatenate([landmarks[48:49], inner, landmarks[54:55]]), 0.03 * length, between, 0.02 * length
        )
    shade.line(landmarks[[58, 57, 56]] - up * 0.09 * length, 0.1 * length, hollow, 0.06 * length)
    return shade.small()


def folds(rng: Rng, size: int, landmarks: F32) -> F32:
    """Draws the shade (size,size) of the folds that run from the wings of the nose past the corners of the mouth."""
    shade, up = Shade(size), upwards(landmarks)
    strength, reach = rng.uniform(-0.3, 0.55), rng.uniform(0.1, 0.6)
    width = rng.uniform(0.04, 0.16)
    for side, visible in enumerate(visible_sides(landmarks)):
        curve, length = fold_curve(landmarks, side, up, reach)
        if visible:
            shade.line(curve, width * length, strength, width * length * 0.7)
    return shade.small()


def fold_curve(landmarks: F32, side: int, up: F32, reach: float) -> tuple[F32, float]:
    """Places a fold (5,2) px from the wing of the nose past the corner of the mouth; returns the eye's length, too."""
    outer, inner, wing, corner = (landmarks[SIDES[side][index]] for index in (0, 2, 5, 6))
    length = max(float(np.linalg.norm(outer - inner)), 1e-3)
    out = (outer - inner) / length
    start = wing + (out * 0.12 + up * 0.08) * length
    end = corner + (out * 0.28 - up * reach * 0.3) * length
    middle = (start + end) / 2 + out * 0.14 * length
    quarter = (start + middle) / 2 + out * 0.04 * length
    return np.stack([start, quarter, middle, (middle + end) / 2, end]), length
