"""Square crops around detected faces, framed alike whatever detector found them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facegpt.photo.detectors.base import Detection, Framing

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

REDUCE_BELOW = 0.5
QUARTERS = tuple(
    np.array(turn, np.float64)
    for turn in (((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0)))
)
"""Where a point of an image goes when the image is turned to the left by 0 to 3 quarter turns, as `np.rot90` does."""


def face_px(face: Detection) -> float:
    """Geometric mean of the sides of a face's box, in pixels of the image."""
    return float(np.sqrt(max(face.width, 0.0) * max(face.height, 0.0)))


def crop_matrix(face: Detection, framing: Framing, size: int) -> Floats:
    """The matrix (2, 3) from pixels of the image to those of the crop of `size` px; pixel centres at integers.

    It turns the image by the face's quarter turns, so that the face stands upright in the crop: `right` and `down` of
    the framing are the face's own.
    """
    unit = face_px(face)
    turn = QUARTERS[face.quarter_turns % 4]
    x, y = np.array([framing.right, framing.down]) * unit @ turn
    centre = np.array([(face.box[0] + face.box[2]) / 2 + x, (face.box[1] + face.box[3]) / 2 + y])
    linear = size / (framing.scale * unit) * turn
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])


def cut(rgb: Pixels, matrix: Floats, size: int) -> Pixels:
    """The crop (size, size, 3) of an image (height, width, 3) under a uniform `matrix` that turns by quarters alone.

    A region that shrinks by more than two is averaged down by a whole factor first, since bilinear sampling would skip
    pixels. What lies outside the image repeats its border.
    """
    turns = quarter_turns(matrix)
    if turns:
        back, middle = QUARTERS[turns].T, (size - 1) / 2
        upright = back @ matrix
        upright[:, 2] += middle - back @ np.full(2, middle)
        return np.ascontiguousarray(np.rot90(cut(rgb, upright, size), turns))
    zoom = float(matrix[0, 0])
    factor = int(1 / zoom) if zoom < REDUCE_BELOW else 1
    count = int(np.ceil(size / zoom / factor)) + 3
    starts = [int(np.floor((-0.5 - matrix[axis, 2]) / zoom)) - factor for axis in (0, 1)]
    columns, rows = (
        np.clip(start + np.arange(count * factor), 0, extent - 1)
        for start, extent in zip(starts, (rgb.shape[1], rgb.shape[0]), strict=True)
    )
    region = rgb[rows[:, None], columns]
    if factor > 1:
        region = np.asarray(cv2.resize(region, (count, count), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # A pixel of the averaged region lies at start + (p + 0.5) * factor - 0.5 in the image.
    moved = matrix.copy()
    moved[:, :2] *= factor
    moved[:, 2] += matrix[:, :2] @ (np.array(starts) + 0.5 * factor - 0.5)
    warped = cv2.warpAffine(
        region, moved, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)


def reduced(matrix: Floats, reduction: int) -> Floats:
    """The crop's matrix (2, 3) for an image shrunk by a whole factor."""
    shift = (reduction - 1) / 2
    linear = matrix[:, :2]
    return np.column_stack([linear * reduction, matrix[:, 2] + linear.sum(1) * shift])


def needed_reduction(matrix: Floats) -> float:
    """How far an image may be shrunk, at least 1, for the crop under this matrix to show all that it can."""
    return max(1.0, 1.0 / float(np.hypot(matrix[0, 0], matrix[1, 0])))


def quarter_turns(matrix: Floats) -> int:
    """How often a crop's matrix turns the image to the left by 90 degrees: 0 to 3."""
    return round(float(np.degrees(np.arctan2(-matrix[1, 0], matrix[0, 0]))) / 90) % 4


def to_image(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2) of the crop, in pixels of the image."""
    return np.asarray((points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
