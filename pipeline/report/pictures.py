"""The four pictures of a face: the crop, its landmarks, the reconstruction in place, and the same head turned."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facegpt.morphable import FaceModel, Theta
from facegpt.photo.crop import cut
from facegpt.rendering import axis_angle_to_matrix, linear_to_srgb, matrix_to_axis_angle, render

Row = Mapping[str, Any]
Pixels = NDArray[np.float64]

SIDE = 224
TURN_DEGREES = 40.0
MARGIN = 1.12
BACKDROP = 0.87
LINE, EDGE, DOT = (16, 214, 190), (8, 60, 56), (255, 255, 255)
LANDMARK_LINES = (
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)


def crop_side(row: Row) -> int:
    """The side in pixels of the row's crop, from its camera: the principal point lies at `(side - 1) / 2`."""
    return round(2 * float(row["camera"][1]) + 1)


def to_side(row: Row, side: int) -> Pixels:
    """The matrix (2, 3) from pixels of the upright original to a crop drawn `side` pixels wide."""
    scale = side / crop_side(row)
    matrix = np.asarray(row["crop_matrix"], dtype=np.float64).reshape(2, 3) * scale
    matrix[:, 2] += (scale - 1) / 2
    return matrix


def with_landmarks(crop: Image.Image, points: Pixels) -> Image.Image:
    """Draws the 68 iBUG points (68, 2), in pixels of `crop`, as contours and dots."""
    fine = 4
    canvas = crop.resize((crop.width * fine, crop.height * fine), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    scaled = [((x + 0.5) * fine, (y + 0.5) * fine) for x, y in points.tolist()]
    for members, closed in LANDMARK_LINES:
        line = [scaled[index] for index in members]
        draw.line(line + line[:1] if closed else line, fill=LINE, width=round(1.4 * fine), joint="curve")
    for radius, colour in ((2.3, EDGE), (1.5, DOT)):
        reach = radius * fine
        for x, y in scaled:
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return canvas.resize(crop.size, Image.Resampling.LANCZOS)


def turned(model: FaceModel, theta: Theta, multiplier: float) -> Theta:
    """The same head turned to the side that the photo hides, whole and in the middle of the picture."""
    facing_right = float(theta.rotation[0, 0, 2]) > 0
    angle = math.radians(-TURN_DEGREES if facing_right else TURN_DEGREES)
    rotation = axis_angle_to_matrix(torch.tensor([[0.0, angle, 0.0]])) @ theta.rotation
    head = model.vertices(theta.shape, theta.expression)[0] @ rotation[0].T
    low, high = head.amin(dim=0), head.amax(dim=0)
    middle = -(low + high) / 2
    distance = multiplier * MARGIN * float((high - low)[:2].max())
    translation = torch.stack([middle[0], middle[1], middle[2] - distance])[None]
    return replace(theta, rotation_vector=matrix_to_axis_angle(rotation), translation=translation)


def rendered(model: FaceModel, row: Row, backdrop: Image.Image | None, side: int = SIDE) -> Image.Image:
    """Renders the face over `backdrop` (the crop), or, without one, turned to its hidden side over a plain ground."""
    theta = Theta.from_annotations([row])
    multiplier = float(row["camera"][0]) / crop_side(row)
    fine = 2
    with torch.no_grad():
        if backdrop is None:
            theta = turned(model, theta, multiplier)
        picture = render(model, theta, side * fine, focal_multiplier=multiplier)
    colours = linear_to_srgb(picture.image)[0].permute(1, 2, 0).numpy()
    if backdrop is None:
        ground = np.full_like(colours, BACKDROP)
    else:
        large = backdrop.resize((side * fine, side * fine), Image.Resampling.BICUBIC)
        ground = np.asarray(large, dtype=np.float32) / 255
    mixed = np.where(picture.mask[0].numpy()[..., None], colours, ground)
    return Image.fromarray((mixed * 255 + 0.5).astype(np.uint8)).resize(
        (side, side), Image.Resampling.LANCZOS
    )


def pictures(
    model: FaceModel | None, row: Row, photo: NDArray[np.uint8] | None, side: int = SIDE
) -> dict[str, Image.Image]:
    """The pictures of one face by name; without the photo or the face model, those that need none.

    Args:
        model: the face model that the row's coefficients belong to, or None where it cannot be had.
        row: of the faces table.
        photo: the upright original (height, width, 3) in RGB, or None where it cannot be had.
        side: of each picture in pixels.
    """
    made: dict[str, Image.Image] = {}
    if photo is not None:
        matrix = to_side(row, side)
        crop = Image.fromarray(cut(photo, matrix, side))
        points = np.asarray(row["landmarks68"], dtype=np.float64).reshape(68, 2)
        made["photo"] = crop
        made["landmarks"] = with_landmarks(crop, points @ matrix[:, :2].T + matrix[:, 2])
        if model is not None:
            made["reconstruction"] = rendered(model, row, crop, side)
    if model is not None:
        made["turned"] = rendered(model, row, None, side)
    return made


def data_uri(image: Image.Image) -> str:
    """A picture as a `data:` URI (JPEG)."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=84, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
