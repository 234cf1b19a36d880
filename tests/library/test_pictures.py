"""The pictures of a face: they show the photo, its landmarks and the head."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import facegpt
from facegpt.library.pictures import GAP
from facegpt.photo.crop import to_image

PORTRAIT = "portrait-spacesuit.png"


@pytest.fixture(scope="module")
def face(model: facegpt.FaceGpt, photos: Path) -> facegpt.Face:
    return model(photos / PORTRAIT)[0]


def tiles(picture: Image.Image, side: int) -> list[NDArray[np.float64]]:
    pixels = np.asarray(picture.convert("RGB"), np.float64)
    starts = range(0, pixels.shape[1], side + GAP)
    return [pixels[:, start : start + side] for start in starts]


def test_a_face_is_drawn_four_times(face: facegpt.Face, portrait: NDArray[np.uint8]) -> None:
    side = 160
    drawn = face.draw(side)
    assert drawn.size == (4 * side + 3 * GAP, side) and drawn.mode == "RGB"
    crop, marked, rebuilt, turned = tiles(drawn, side)
    # The first is the photo's own square: its middle pixel is the photo's.
    scale = side / face.crop.shape[0]
    matrix = face.crop_matrix.astype(np.float64) * scale
    matrix[:, 2] += (scale - 1) / 2
    for u, v in ((40, 50), (80, 80), (110, 120)):
        x, y = to_image(np.array([[u, v]], np.float64), matrix)[0].round().astype(int)
        np.testing.assert_allclose(crop[v, u], portrait[y, x], atol=40)
    # The landmarks are white where the row says that they are, and change little else.
    points = (face.landmarks68.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).round().astype(int)
    inside = [(u, v) for u, v in points.tolist() if 0 <= u < side and 0 <= v < side]
    assert len(inside) > 60 and np.mean([marked[v, u].min() > 180 for u, v in inside]) > 0.9
    assert 0.01 < (np.abs(marked - crop).max(-1) > 30).mean() < 0.35
    # The reconstruction lies over the face and looks like it, in place of what is beside it.
    middle = slice(side // 3, 2 * side // 3)
    assert 2 < np.abs(rebuilt - crop)[middle, middle].mean() < 60
    np.testing.assert_allclose(rebuilt[:10, :10], crop[:10, :10], atol=12)
    assert (np.abs(turned - turned[0, 0]).max(-1) > 20).mean() > 0.2


def test_a_notebook_shows_a_face_and_a_line_tells_of_it(face: facegpt.Face) -> None:
    with Image.open(io.BytesIO(face._repr_png_())) as picture:
        assert picture.format == "PNG" and picture.size == face.draw().size
    told = repr(face)
    assert told.startswith("<Face 0 at 180,64 to 269,175; yaw ") and face.caption in told


def test_an_imagined_face_is_drawn_from_both_sides(model: facegpt.FaceGpt) -> None:
    (imagined,) = model.imagine("broad smile, looking left", count=1, seed=5)
    front, turned = tiles(imagined.draw(96), 96)
    for tile in (front, turned):
        shown = np.abs(tile - 222).max(-1) > 20
        assert 0.15 < shown.mean() < 0.9
    assert np.abs(front - turned).mean() > 10
    assert imagined._repr_png_().startswith(b"\x89PNG")
    assert repr(imagined) == "<ImaginedFace of seed 5: 'broad smile, looking left'>"
