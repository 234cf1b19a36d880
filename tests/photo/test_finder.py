"""From a photo to crops of its faces, in one class for the stage and the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.photo.crop import crop_matrix, cut, to_image
from facegpt.photo.decode import Decoded, DecodeError, RejectedError, image_id_of, pixels_id_of
from facegpt.photo.detectors.base import DetectorError
from facegpt.photo.finder import FaceFinder, face_id_of

CROP = 112


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(DecodeConfig(), DetectorConfig(), CROP)


def test_a_photo_gives_its_size_and_its_faces_the_surest_first(finder: FaceFinder, photos: Path) -> None:
    data = (photos / "group.jpg").read_bytes()
    photo = finder(data)
    assert photo.image_id == image_id_of(data) and (photo.width, photo.height) == (1280, 886)
    assert [face.face_index for face in photo.faces] == list(range(6))
    scores = [face.det_score for face in photo.faces]
    assert scores == sorted(scores, reverse=True)
    for face in photo.faces:
        assert face.crop.shape == (CROP, CROP, 3)
        assert face.landmarks5 is not None and face.landmarks5.shape == (5, 2)
        assert face.face_id == face_id_of(photo.image_id, finder.fingerprint, face.box)
        middle = to_image(np.full((1, 2), (CROP - 1) / 2), face.crop_matrix)[0]
        assert face.box[0] < middle[0] < face.box[2] and face.box[1] < middle[1] < face.box[3]
        width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
        assert face.face_px == pytest.approx((width * height) ** 0.5)


def test_pixels_give_the_faces_of_their_file_under_an_id_of_their_own(
    finder: FaceFinder, photos: Path, portrait: NDArray[np.uint8]
) -> None:
    of_file = finder((photos / "portrait-spacesuit.png").read_bytes())
    of_pixels = finder(Decoded(portrait))
    assert of_pixels.image_id == pixels_id_of(portrait) != of_file.image_id and len(of_pixels.image_id) == 32
    (one,), (same,) = of_file.faces, of_pixels.faces
    assert one.box == same.box and one.face_id != same.face_id
    np.testing.assert_array_equal(one.crop, same.crop)
    assert pixels_id_of(portrait[:, :256]) != pixels_id_of(portrait)


def test_the_crop_is_framed_as_the_detector_wants_and_a_margin_widens_it(
    finder: FaceFinder, portrait: NDArray[np.uint8]
) -> None:
    (detection,) = finder.detector.detect(portrait)
    matrix = crop_matrix(detection, finder.detector.framing, CROP)
    (face,) = finder(Decoded(portrait)).faces
    np.testing.assert_array_equal(face.crop_matrix, matrix)
    np.testing.assert_array_equal(face.crop, cut(portrait, matrix, CROP))
    (wide,) = FaceFinder(DecodeConfig(), DetectorConfig(), CROP, margin=1.5)(Decoded(portrait)).faces
    assert wide.crop_matrix[0, 0] == pytest.approx(face.crop_matrix[0, 0] / 1.5)
    assert wide.box == face.box


def test_what_is_no_photo_is_an_error(finder: FaceFinder) -> None:
    with pytest.raises(DecodeError, match="the file is empty"):
        finder(b"")
    small = FaceFinder(DecodeConfig(min_side=64), DetectorConfig(name="null"), CROP)
    with pytest.raises(RejectedError, match="a side is below 64 px"):
        small(b"P6 40 80 255\n" + bytes(40 * 80 * 3))
    with pytest.raises(DetectorError, match="did you mean 'dlib'"):
        FaceFinder(DecodeConfig(), DetectorConfig(name="dlb"), CROP)


def test_face_ids_follow_content_detector_and_box() -> None:
    box = (1.2, 2.4, 50.0, 60.0)
    assert face_id_of("a", "f", box) == face_id_of("a", "f", (1.4, 2.0, 50.3, 59.8))
    others = {
        face_id_of("b", "f", box),
        face_id_of("a", "g", box),
        face_id_of("a", "f", (2.0, 2.4, 50.0, 60.0)),
    }
    assert face_id_of("a", "f", box) not in others
    assert len(others) == 3
    assert len(face_id_of("a", "f", box)) == 32
