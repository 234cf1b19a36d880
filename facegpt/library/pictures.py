"""The four pictures of a face: the crop, its landmarks, the reconstruction in place, and the same head turned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facegpt.morphable import FaceModel, Theta
from facegpt.photo.crop import cut
from facegpt.rendering import (
    FOCAL_MULTIPLIER,
    axis_angle_to_matrix,
    linear_to_srgb,
    matrix_to_axis_angle,
    render,
)

Row = Mapping[str, Any]
Pixels = NDArray[np.float64]

SIDE = 224
TURN_DEGREES = 40.0
MARGIN = 1.12
BACKDROP = 0.87
GAP = 6
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


def crop_transform(row: Row, side: int) -> Pixels:
    """The matrix (2, 3) from pixels of the upright original to a crop drawn `side` pixels wide."""
    scale = side / crop_side(row)
    matrix = np.asarray(row["crop_matrix"], dtype=np.float64).reshape(2, 3) * scale
    matrix[:, 2] += (scale - 1) / 2
    return matrix


def draw_landmarks(crop: Image.Image, points: Pixels) -> Image.Image:
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


def turn_head(model: FaceModel, theta: Theta, multiplier: float) -> Theta:
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


def render_face(model: FaceModel, row: Row, backdrop: Image.Image | None, side: int = SIDE) -> Image.Image:
    """Draws a row's face over `backdrop` (the crop), or, without one, turned to its hidden side over a plain ground."""
    theta, multiplier = Theta.from_annotations([row]), float(row["camera"][0]) / crop_side(row)
    if backdrop is None:
        return head_picture(model, turn_head(model, theta, multiplier), side, multiplier)
    return head_picture(model, theta, side, multiplier, backdrop)


@torch.no_grad()
def head_picture(
    model: FaceModel,
    theta: Theta,
    side: int = SIDE,
    multiplier: float = FOCAL_MULTIPLIER,
    backdrop: Image.Image | None = None,
) -> Image.Image:
    """Draws one head (a batch of one) over `backdrop`, or over a plain ground, `side` pixels wide.

    `multiplier` is the focal length in crop widths.
    """
    fine = 2
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


def draw_pictures(
    model: FaceModel | None, row: Row, photo: NDArray[np.uint8] | None, side: int = SIDE
) -> dict[str, Image.Image]:
    """Makes the pictures of one face by name; without the photo or the face model, those that need none.

    Args:
        model: the face model that the row's coefficients belong to, or None where it cannot be had.
        row: of the faces table.
        photo: the upright original (height, width, 3) in RGB, or None where it cannot be had.
        side: of each picture in pixels.
    """
    crop = None if photo is None else Image.fromarray(cut(photo, crop_transform(row, side), side))
    return crop_pictures(model, row, crop, side)


def crop_pictures(
    model: FaceModel | None, row: Row, crop: Image.Image | None, side: int = SIDE
) -> dict[str, Image.Image]:
    """Makes what `pictures` makes from the row's crop, `side` pixels wide."""
    made: dict[str, Image.Image] = {}
    if crop is not None:
        matrix = crop_transform(row, side)
        points = np.asarray(row["landmarks68"], dtype=np.float64).reshape(68, 2)
        made["photo"] = crop
        made["landmarks"] = draw_landmarks(crop, points @ matrix[:, :2].T + matrix[:, 2])
        if model is not None:
            made["reconstruction"] = render_face(model, row, crop, side)
    if model is not None:
        made["turned"] = render_face(model, row, None, side)
    return made


def strip(images: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Puts pictures of one size side by side, `gap` pixels of white between them."""
    width, height = images[0].size
    whole = Image.new("RGB", (len(images) * (width + gap) - gap, height), "white")
    for index, image in enumerate(images):
        whole.paste(image, (index * (width + gap), 0))
    return whole
