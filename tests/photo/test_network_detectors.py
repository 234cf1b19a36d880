"""SCRFD and YuNet with real weights, where the developers' folder has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors import (
    create_detector,
)
from facegpt.photo.detectors.insightface_scrfd import fitted

Pixels = NDArray[np.uint8]


def test_scrfd_finds_the_portrait_with_its_points(scrfd: DetectorConfig, portrait: Pixels) -> None:
    faces = create_detector(scrfd).detect(portrait)
    assert len(faces) == 1
    assert faces[0].landmarks is not None
    eyes_nose_mouth = faces[0].landmarks
    np.testing.assert_allclose(eyes_nose_mouth[:2], [[203, 102], [247, 102]], atol=4)
    assert eyes_nose_mouth[3, 0] < eyes_nose_mouth[2, 0] < eyes_nose_mouth[4, 0]


def test_scrfd_finds_a_face_that_fills_the_frame(scrfd: DetectorConfig, portrait: Pixels) -> None:
    x0, y0, x1, y1 = (round(v) for v in create_detector(scrfd).detect(portrait)[0].box)
    tight = cv2.resize(portrait[y0:y1, x0:x1], (1200, 1500))
    assert len(create_detector(scrfd).detect(np.asarray(tight, np.uint8))) == 1


def test_a_folder_of_networks_is_a_model_pack(
    scrfd: DetectorConfig, portrait: Pixels, tmp_path: Path
) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "det_500m.onnx").write_bytes(Path(str(scrfd.model)).read_bytes())
    faces = create_detector(DetectorConfig(name="insightface", model=str(pack))).detect(portrait)
    assert len(faces) == 1


def test_the_networks_input_has_the_images_proportions() -> None:
    assert fitted(640, 480, 640) == (640, 480)
    assert fitted(1000, 333, 640) == (640, 224)
    assert fitted(333, 1000, 128) == (64, 128)
    assert fitted(5000, 40, 640) == (640, 32)


def test_scrfd_sees_the_same_whatever_lies_beside_the_image(scrfd: DetectorConfig, portrait: Pixels) -> None:
    """A lower part of 7 : 10 needs a smaller input than a square; the face stays where it is."""
    (whole,) = create_detector(scrfd).detect(portrait)
    (part,) = create_detector(scrfd).detect(portrait[:360])
    np.testing.assert_allclose(part.box, whole.box, atol=3)


@pytest.mark.parametrize("shape", [(1, 1), (33, 2000), (5000, 40), (32, 30_000)])
def test_extreme_shapes_are_searched_by_networks(
    scrfd: DetectorConfig, yunet: DetectorConfig, shape: tuple[int, int]
) -> None:
    for config in (scrfd, yunet):
        assert create_detector(config).detect(np.zeros((*shape, 3), np.uint8)) == []


def test_yunet_finds_the_portrait_with_its_points(yunet: DetectorConfig, portrait: Pixels) -> None:
    (face,) = create_detector(yunet).detect(portrait)
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks[:2], [[203, 102], [247, 102]], atol=8)
    assert face.landmarks[3, 0] < face.landmarks[2, 0] < face.landmarks[4, 0]
    assert face.score > 0.85


def test_yunet_finds_all_faces_of_a_group_and_none_on_a_cat(yunet: DetectorConfig, photos: Path) -> None:
    detector = create_detector(yunet)
    assert len(detector.detect(np.asarray(Image.open(photos / "group.jpg").convert("RGB")))) == 6
    assert detector.detect(np.asarray(Image.open(photos / "cat.png").convert("RGB"))) == []
