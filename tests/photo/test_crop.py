from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegpt.photo.config import DetectorConfig
from facegpt.photo.crop import crop_matrix, cut, face_px, quarter_turns, to_image
from facegpt.photo.detectors import Detection, create_detector
from facegpt.photo.detectors.base import Framing
from facegpt.photo.detectors.dlib_frontal import DlibDetector

SIZE = 112


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """Red is x, green is y, both scaled to 0..250: a crop's colours tell where they come from."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 250 / width, y * 250 / height, 0 * x], -1).round().astype(np.uint8)


def test_the_square_is_where_the_framing_says() -> None:
    face = Detection((100.0, 50.0, 180.0, 150.0), 1.0)
    framing = Framing(scale=1.5, right=0.1, down=-0.2)
    unit = face_px(face)
    assert unit == pytest.approx(np.sqrt(80 * 100))
    side, x, y = 1.5 * unit, 140 + 0.1 * unit, 100 - 0.2 * unit
    matrix = crop_matrix(face, framing, SIZE)
    # The square's border lies half a pixel outside the centres of the crop's outer pixels.
    corners = np.array([[-0.5, -0.5], [SIZE - 0.5, SIZE - 0.5]])
    np.testing.assert_allclose(
        to_image(corners, matrix), [[x - side / 2, y - side / 2], [x + side / 2, y + side / 2]]
    )


@pytest.mark.parametrize("side", [40, 111, 112, 230, 900, 1990])
def test_pixels_come_from_where_the_matrix_says(side: int) -> None:
    image = smooth(2000, 2000)
    face = Detection((1000 - side / 2, 1000 - side / 2, 1000 + side / 2, 1000 + side / 2), 1.0)
    matrix = crop_matrix(face, Framing(1.0, 0.0, 0.0), SIZE)
    crop = cut(image, matrix, SIZE).astype(float)
    points = np.array([[10, 20], [56, 56], [100, 90]])
    for (u, v), (x, y) in zip(points, to_image(points.astype(float), matrix), strict=True):
        np.testing.assert_allclose(crop[v, u, :2], [x / 8, y / 8], atol=0.8)


def test_shrinking_averages_instead_of_skipping() -> None:
    """A checkerboard of single pixels becomes grey, not one of its colours."""
    board = ((np.indices((1600, 1600)).sum(0) % 2) * 255).astype(np.uint8)
    image = np.repeat(board[..., None], 3, -1)
    matrix = crop_matrix(Detection((0.0, 0.0, 1599.0, 1599.0), 1.0), Framing(1.0, 0.0, 0.0), SIZE)
    crop = cut(image, matrix, SIZE)
    assert abs(crop.astype(float) - 127.5).max() < 12


def test_outside_the_image_the_border_repeats() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    image[:, 0] = (10, 20, 30)
    matrix = crop_matrix(Detection((-60.0, 0.0, 10.0, 70.0), 1.0), Framing(1.5, 0.0, 0.0), SIZE)
    assert cut(image, matrix, SIZE)[5, 5].tolist() == [10, 20, 30]


@pytest.mark.parametrize("side", [60, 700])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_does_not_stand_upright_does_so_in_its_crop(turns: int, side: int) -> None:
    """The crop of a photo that lies on its side is that of the photo set upright, and points go back to the former."""
    upright, framing = smooth(900, 1000), Framing(1.3, 0.05, -0.1)
    face = Detection((400.0 - side / 2, 300.0, 400.0 + side / 2, 300.0 + side), 1.0)
    lying = np.ascontiguousarray(np.rot90(upright, -turns))
    found = face.turned_back(turns, lying.shape[1], lying.shape[0])
    matrix, same = crop_matrix(found, framing, SIZE), crop_matrix(face, framing, SIZE)
    assert quarter_turns(matrix) == found.quarter_turns == turns
    np.testing.assert_allclose(
        cut(lying, matrix, SIZE).astype(int), cut(upright, same, SIZE).astype(int), atol=1
    )
    x, y = to_image(np.array([[20.0, 30.0]]), matrix)[0].round().astype(int)
    np.testing.assert_allclose(cut(lying, matrix, SIZE)[30, 20].astype(int), lying[y, x].astype(int), atol=2)


@pytest.mark.parametrize("shape", [(40_000, 40), (3, 5000), (1, 1)])
def test_extreme_images_can_be_cut(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    for side in (20.0, 3000.0):
        matrix = crop_matrix(Detection((0.0, 0.0, side, side), 1.0), DlibDetector.framing, SIZE)
        assert (cut(image, matrix, SIZE) == 77).all()


def test_all_detectors_frame_alike(shared_dir: Path) -> None:
    """On near-frontal faces the square has the side and centre of the training faces', whichever detector found it."""
    data, weights = shared_dir / "data" / "faces_dev", shared_dir / "weights"
    rows = [json.loads(line) for line in (data / "faces.jsonl").read_text().splitlines()]
    configs = [
        DetectorConfig(),
        DetectorConfig(name="dlib"),
        DetectorConfig(name="insightface", model=str(weights / "det_500m.onnx")),
        DetectorConfig(name="yunet", model=str(weights / "yunet_n_dynamic.onnx")),
    ]
    for config in configs:
        detector, seen = create_detector(config), []
        for row in [row for row in rows if row["path"].startswith("ytfaces")][:80]:
            points = np.array(row["landmarks68"])
            left, right = points[36:42].mean(0), points[42:48].mean(0)
            eyes, between = np.linalg.norm(right - left), (left + right) / 2
            if abs(points[30, 0] - between[0]) > 0.12 * eyes:
                continue
            for face in detector.detect(np.asarray(Image.open(data / row["path"]).convert("RGB")))[:1]:
                matrix = crop_matrix(face, detector.framing, SIZE)
                middle = to_image(np.full((1, 2), (SIZE - 1) / 2), matrix)[0]
                seen.append([eyes * matrix[0, 0] / SIZE, *(middle - between) / eyes])
        eyes_of_side, right, down = np.median(np.array(seen), axis=0)
        assert len(seen) > 10
        assert eyes_of_side == pytest.approx(0.063 / 0.204, rel=0.06)
        assert right == pytest.approx(0, abs=0.1)
        assert down == pytest.approx(0.038 / 0.063, abs=0.08)
