"""Backgrounds, glasses, clothes and occluders of rendered faces.

All functions take float32 pictures (H,W,3) in sRGB 0..1 and return new ones.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Rng = np.random.Generator


def noise(rng: Rng, size: int, cells: tuple[int, int], channels: int = 1) -> F32:
    """Draws smooth noise (size,size,channels) of unit variance, `cells` = (rows, columns) of its grid."""
    grid = rng.normal(size=(*cells, channels)).astype(np.float32)
    picture = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(picture.reshape(size, size, channels), np.float32)


def blend(picture: F32, mask: F32, colour: F32) -> F32:
    """Blends `colour` over `picture` by `mask` (H,W) in 0..1."""
    alpha = mask[..., None]
    return np.asarray(picture * (1 - alpha) + colour * alpha, np.float32)


def polygon(size: int, points: npt.NDArray[np.floating], blur: float) -> F32:
    """Fills a soft mask (size,size) of a polygon of points (N,2) in pixels."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points * 8).astype(np.int32)], 1.0, cv2.LINE_AA, 3)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur) if blur > 0.2 else mask, np.float32)


def background(rng: Rng, size: int) -> F32:
    """Draws a plain, graded, blotched or cluttered background."""
    picture = np.zeros((size, size, 3), np.float32) + rng.random(3).astype(np.float32) * 0.9
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    picture += ramp[:, None, None] * rng.normal() * 0.4 + ramp[None, :, None] * rng.normal() * 0.4
    for _ in range(rng.integers(0, 5)):
        cells = (int(rng.integers(2, 24)), int(rng.integers(2, 24)))
        picture += noise(rng, size, cells, 3 if rng.random() < 0.5 else 1) * rng.random() * 0.2
    for _ in range(int(rng.integers(0, 7)) if rng.random() < 0.6 else 0):
        corner, extent = rng.uniform(-0.3, 1.1, 2) * size, rng.uniform(0.05, 0.8, 2) * size
        angle = rng.uniform(0, np.pi)
        box = cv2.boxPoints(
            ((float(corner[0]), float(corner[1])), (float(extent[0]), float(extent[1])), np.rad2deg(angle))
        )
        picture = blend(
            picture,
            polygon(size, np.asarray(box, np.float32), rng.uniform(0, 2.5)),
            rng.random(3).astype(np.float32),
        )
    return np.clip(picture, 0, 1).astype(np.float32)


def glasses(rng: Rng, picture: F32, landmarks: F32) -> F32:
    """Draws spectacles or sunglasses on the eyes of `landmarks` (68,2) px."""
    size = len(picture)
    eyes = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])
    across = eyes[1] - eyes[0]
    distance = float(np.linalg.norm(across))
    if distance < 4:
        return picture
    angle = float(np.rad2deg(np.arctan2(across[1], across[0])))
    width, height = distance * rng.uniform(0.62, 0.92), distance * rng.uniform(0.42, 0.75)
    shrink = [float(np.linalg.norm(landmarks[b] - landmarks[a])) for a, b in ((36, 39), (42, 45))]
    colour = (rng.random(3) * rng.choice([0.15, 0.15, 0.8])).astype(np.float32)
    dark = rng.random() < 0.25
    thickness = max(1, round(distance * rng.uniform(0.01, 0.09)))
    frame = np.zeros((size, size), np.float32)
    lens = np.zeros((size, size), np.float32)
    rounded = rng.random() < 0.5
    for eye, eye_width in zip(eyes, shrink, strict=True):
        ratio = float(np.clip(eye_width / max(max(shrink), 1e-3), 0.45, 1))
        centre = (int(eye[0] * 16), int((eye[1] + 0.06 * distance) * 16))
        if rounded:
            axes = (int(width * ratio * 8), int(height * 8))
            outline: dict[str, Any] = {
                "center": centre,
                "axes": axes,
                "angle": angle,
                "startAngle": 0,
                "endAngle": 360,
                "color": 1.0,
                "lineType": cv2.LINE_AA,
                "shift": 4,
            }
            cv2.ellipse(lens, thickness=cv2.FILLED, **outline)
            cv2.ellipse(frame, thickness=thickness, **outline)
        else:
            box = cv2.boxPoints(((centre[0] / 16, centre[1] / 16), (width * ratio, height), angle))
            corners = [np.round(box * 16).astype(np.int32)]
            cv2.fillPoly(lens, corners, 1.0, cv2.LINE_AA, 4)
            cv2.polylines(frame, corners, True, 1.0, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
    inner = eyes + np.array([[1], [-1]]) * across * 0.18
    start, end = (tuple(np.round(point * 16).astype(int).tolist()) for point in inner)
    cv2.line(frame, start, end, 1.0, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
    if dark:
        tint = rng.random(3).astype(np.float32) * 0.25
        picture = blend(picture, lens * rng.uniform(0.6, 1.0), tint)
    elif rng.random() < 0.5:
        glare = np.clip(noise(rng, size, (3, 3))[..., 0], 0, 1) * rng.uniform(0, 0.5)
        picture = blend(picture, lens * glare, np.ones(3, np.float32))
    return blend(picture, np.clip(frame, 0, 1), colour)


def occluder(rng: Rng, picture: F32, skin: F32) -> F32:
    """Draws a hand, a cup or another thing that reaches in from an edge of the crop."""
    size = len(picture)
    side = int(rng.integers(4))
    reach, middle, spread = rng.uniform(0.08, 0.42), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.35)
    n = 9
    along = np.linspace(-spread, spread, n) + middle
    depth = (
        reach * np.sqrt(np.clip(1 - ((along - middle) / spread) ** 2, 0, 1)) * (1 + 0.15 * rng.normal(size=n))
    )
    points = np.stack([along, depth], 1)
    points = np.concatenate([points, [[middle + spread, -0.2], [middle - spread, -0.2]]])
    points = {
        0: points,
        1: points[:, ::-1],
        2: points * [1, -1] + [0, 1],
        3: points[:, ::-1] * [-1, 1] + [1, 0],
    }[side]
    colour = skin * rng.uniform(0.7, 1.2) if rng.random() < 0.4 else rng.random(3).astype(np.float32)
    texture = np.clip(colour + noise(rng, size, (6, 6)) * rng.random() * 0.12, 0, 1)
    return blend(picture, polygon(size, points * size, rng.uniform(0.2, 1.5)), texture.astype(np.float32))


def clothes(rng: Rng, picture: F32, chin: F32, up: F32, width: float) -> F32:
    """Draws collar and shoulders below the neck."""
    size = len(picture)
    right = np.array([-up[1], up[0]], np.float32)
    neck = chin - up * width * rng.uniform(0.1, 0.45)
    dip = rng.uniform(-0.1, 0.3) * width
    offsets = [
        (-1.6, -0.5),
        (-0.45, 0.12),
        (0.0, -dip / width),
        (0.45, 0.12),
        (1.6, -0.5),
        (1.6, -3),
        (-1.6, -3),
    ]
    points = np.stack([neck + right * a * width + up * b * width for a, b in offsets])
    colour = rng.random(3).astype(np.float32) * rng.choice([0.3, 1.0])
    texture = np.clip(colour + noise(rng, size, (8, 8)) * rng.random() * 0.1, 0, 1).astype(np.float32)
    return blend(picture, polygon(size, points, 0.6), texture)
