from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors import (
    Detection,
    Detector,
    DetectorError,
    create_detector,
    drop_overlaps,
    overlap,
)
from facegpt.photo.detectors.base import resized
from facegpt.photo.detectors.registry import detector_fingerprint

Pixels = NDArray[np.uint8]
BUILT_IN = ("dlib", "libfacedetection")


def box(x0: float, y0: float, x1: float, y1: float, score: float = 1.0) -> Detection:
    return Detection((x0, y0, x1, y1), score)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(box(0, 0, 10, 10), box(5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap(box(0, 0, 10, 10), box(10, 0, 20, 10)) == 0
    assert overlap(box(0, 0, 10, 10), box(0, 0, 10, 10)) == 1


def test_of_overlapping_faces_the_surest_stays() -> None:
    faces = [box(0, 0, 10, 10, 0.5), box(1, 0, 11, 10, 0.9), box(30, 0, 40, 10, 0.1)]
    assert [face.score for face in drop_overlaps(faces, 0.4)] == [0.9, 0.1]
    assert len(drop_overlaps(faces, 1.0)) == 3


def test_a_detection_moves_into_another_image_with_its_landmarks() -> None:
    face = Detection((0.0, 1.0, 2.0, 3.0), 0.5, np.ones((5, 2)))
    moved = face.mapped(2.0, 10.0, 20.0)
    assert moved.box == (10.0, 22.0, 14.0, 26.0)
    assert moved.landmarks is not None
    assert moved.landmarks[0].tolist() == [12.0, 22.0]


def test_resizing_tells_the_scale_that_it_has() -> None:
    image = np.zeros((333, 1000, 3), np.uint8)
    small, scale = resized(image, 0.1)
    assert small.shape == (33, 100, 3)
    assert scale == pytest.approx(0.1)
    assert resized(image, 1.0)[0] is image


@pytest.fixture(params=BUILT_IN)
def built_in(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_portrait_is_found_where_it_is(portrait: Pixels, built_in: str) -> None:
    faces = create_detector(DetectorConfig(name=built_in)).detect(portrait)
    x0, y0, x1, y1 = faces[0].box
    # The pupils of this photo lie at (203, 102) and (247, 102), the mouth at (224, 145).
    assert x0 < 203 < 247 < x1
    assert y0 < 102 < 145 < y1
    assert 70 < x1 - x0 < 130
    assert (faces[0].landmarks is None) == (built_in == "dlib")


def test_boxes_do_not_depend_on_the_size_of_what_is_searched(portrait: Pixels, built_in: str) -> None:
    """The centre moves by less than a tenth of the face when the image is searched at other sizes."""
    boxes = [
        np.array(create_detector(DetectorConfig(name=built_in, max_side=side)).detect(portrait)[0].box)
        for side in (256, 320, 512, 700, 1024)[0 if built_in == "libfacedetection" else 2 :]
    ]
    centres = np.array([(b[:2] + b[2:]) / 2 for b in boxes])
    assert np.ptp(centres, axis=0).max() < 0.1 * (boxes[0][2] - boxes[0][0])


def test_a_mirrored_image_mirrors_the_box(portrait: Pixels) -> None:
    """dlib's boxes stand on a coarse grid, but have no preferred side: a wrong offset would show."""
    detector = create_detector(DetectorConfig(name="dlib"))
    x0, y0, x1, y1 = detector.detect(portrait)[0].box
    mirrored = detector.detect(np.ascontiguousarray(portrait[:, ::-1]))[0].box
    np.testing.assert_allclose(mirrored, (511 - x1, y0, 511 - x0, y1), atol=8)


@pytest.mark.parametrize(("name", "side"), [("dlib", 200), ("libfacedetection", 56)])
def test_small_faces_are_found_by_enlarging(portrait: Pixels, name: str, side: int) -> None:
    small = np.asarray(cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    assert len(create_detector(DetectorConfig(name=name, upsample=2.0)).detect(small)) == 1
    none = DetectorConfig(name=name, upsample=1.0, padded_pass=False)
    assert len(create_detector(none).detect(small)) == 0


class SeesOnlyWithSurroundings(Detector):
    """Finds nothing in 40 x 60 px; in anything larger, a face at (35, 35) and something in the corner."""

    name = "stand-in"
    gives_landmarks = False
    default_score = 0.0

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        return "none"

    def find(self, rgb: Pixels) -> list[Detection]:
        return [] if rgb.shape == (40, 60, 3) else [box(35, 35, 55, 55, 0.9), box(0, 0, 10, 10, 0.8)]


def test_a_face_that_fills_the_frame_is_found_with_a_border() -> None:
    """The border is 30 px wide; boxes come back in pixels of the image, and what lies in the border is no face."""
    image = np.zeros((40, 60, 3), np.uint8)
    assert SeesOnlyWithSurroundings(DetectorConfig(padded_pass=False)).detect(image) == []
    assert SeesOnlyWithSurroundings(DetectorConfig()).detect(image) == [box(5, 5, 25, 25, 0.9)]


def test_a_large_image_is_shrunk_before_it_gets_a_border() -> None:
    """4000 px become 640 with a border of 320: what begins at 335 there begins at 15 of 640, or 93 of 4000."""

    class Fixed(SeesOnlyWithSurroundings):
        def find(self, rgb: Pixels) -> list[Detection]:
            assert max(rgb.shape) in (4000, 1280)
            return [box(334.5, 334.5, 354.5, 354.5)] if rgb.shape[1] == 1280 else []

    face = Fixed(DetectorConfig()).detect(np.zeros((2000, 4000, 3), np.uint8))[0]
    edge = (334.5 + 0.5 - 320) * 4000 / 640 - 0.5
    np.testing.assert_allclose(face.box, (edge, edge, edge + 125, edge + 125))


def test_a_detection_in_a_turned_image_comes_back_to_its_pixels() -> None:
    """A 20 x 30 px image (width, height) with marks at the box's corners and at a point."""
    image = np.zeros((30, 20), np.uint8)
    image[4, 3], image[9, 12], image[7, 5] = 1, 2, 3
    for turns in (1, 2, 3):
        y, x = (np.array([np.argwhere(np.rot90(image, turns) == mark)[0] for mark in (1, 2, 3)])).T
        there = Detection(
            (min(x[:2]), min(y[:2]), max(x[:2]), max(y[:2])), 1.0, np.tile([x[2], y[2]], (5, 1)).astype(float)
        )
        back = there.turned_back(turns, 20, 30)
        assert (back.box, back.quarter_turns) == ((3, 4, 12, 9), turns)
        assert back.landmarks is not None
        assert back.landmarks[0].tolist() == [5, 7]


class SeesTheSunAtTheTop(SeesOnlyWithSurroundings):
    """Finds the brightest pixel, if it lies in the upper tenth; its score is the brightness."""

    def find(self, rgb: Pixels) -> list[Detection]:
        top = rgb[: rgb.shape[0] // 10, :, 0]
        y, x = (int(v) for v in np.unravel_index(top.argmax(), top.shape))
        return [box(x - 1, y - 1, x + 2, y + 1, float(top[y, x]))] if top[y, x] else []


def test_rotations_are_tried_when_they_are_asked_for_and_nothing_was_found() -> None:
    """With the sun on the left edge, the image must be turned to the right: three turns to the left."""
    image = np.zeros((100, 60, 3), np.uint8)
    image[40, 2], image[95, 30] = 200, 100
    quiet = {"padded_pass": False}
    assert SeesTheSunAtTheTop(DetectorConfig(**quiet)).detect(image) == []
    (face,) = SeesTheSunAtTheTop(DetectorConfig(**quiet, rotations=True)).detect(image)
    assert (face.score, face.quarter_turns) == (200, 3)
    # Right of it in the turned image is above it in the image itself.
    assert face.box == (1, 38, 3, 41)
    image[5, 30] = 10
    (upright,) = SeesTheSunAtTheTop(DetectorConfig(**quiet, rotations=True)).detect(image)
    assert (upright.score, upright.quarter_turns) == (10, 0)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_dlib_finds_a_portrait_that_lies_on_its_side(portrait: Pixels, turns: int) -> None:
    lying = np.ascontiguousarray(np.rot90(portrait, -turns))
    once = DetectorConfig(name="dlib", max_side=512, padded_pass=False)
    assert create_detector(once).detect(lying) == []
    (face,) = create_detector(once.model_copy(update={"rotations": True})).detect(lying)
    (same,) = create_detector(once).detect(portrait)
    assert face == same.turned_back(turns, 512, 512)
    assert face.quarter_turns == turns


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_face_stands_the_way_that_its_points_say(turns: int) -> None:
    """Also where the detector finds it as the photo lies; without rotations the crop stays as the photo is."""
    points = np.array([[20.0, 20], [40, 22], [30, 30], [23, 40], [37, 41]])
    upright = Detection((10.0, 10.0, 50.0, 50.0), 1.0, points)
    lying = replace(upright.turned_back(turns, 60, 60), quarter_turns=0)

    class Points(SeesOnlyWithSurroundings):
        def find(self, rgb: Pixels) -> list[Detection]:
            return [lying]

    image = np.zeros((60, 60, 3), np.uint8)
    assert Points(DetectorConfig(rotations=True)).detect(image)[0].quarter_turns == turns
    assert Points(DetectorConfig()).detect(image)[0].quarter_turns == 0


def test_all_faces_of_a_group_are_found(photos: Path, built_in: str) -> None:
    group = np.asarray(Image.open(photos / "group.jpg").convert("RGB"))
    assert len(create_detector(DetectorConfig(name=built_in)).detect(group)) == 6
    assert len(create_detector(DetectorConfig(name=built_in, max_faces=2)).detect(group)) == 2


@pytest.mark.parametrize("name", ["coffee.png", "cat.png"])
def test_no_face_is_invented(photos: Path, name: str, built_in: str) -> None:
    image = np.asarray(Image.open(photos / name).convert("RGB"))
    assert create_detector(DetectorConfig(name=built_in)).detect(image) == []


@pytest.mark.parametrize("shape", [(1, 1), (33, 2000), (5000, 40)])
def test_extreme_shapes_are_searched(shape: tuple[int, int], built_in: str) -> None:
    assert create_detector(DetectorConfig(name=built_in)).detect(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DetectorConfig(name="dlip"), "no detector 'dlip'; did you mean 'dlib'"),
        (DetectorConfig(name="insightface"), r"needs detector\.model"),
        (DetectorConfig(name="insightface", model="no_such_pack"), "no model pack of that name"),
        (DetectorConfig(name="yunet"), r"needs detector\.model: the path of a YuNet ONNX file"),
        (DetectorConfig(name="yunet", model="no_such_file.onnx"), "no file no_such_file.onnx"),
        (DetectorConfig(device="cuda"), "detector 'libfacedetection' runs on the CPU alone"),
        (DetectorConfig(name="yunet", model="x", device="cuda"), "detector 'yunet' runs on the CPU alone"),
    ],
)
def test_a_detector_that_cannot_be_had_is_an_error(config: DetectorConfig, message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        create_detector(config)


def test_built_in_weights_and_a_model_file_are_an_error(built_in: str) -> None:
    with pytest.raises(DetectorError, match="built in"):
        detector_fingerprint(DetectorConfig(name=built_in, model="x.onnx"))


@pytest.mark.parametrize("name", ["insightface", "yunet"])
def test_a_file_that_is_no_network_is_an_error(tmp_path: Path, name: str) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(DetectorError, match="cannot load"):
        create_detector(DetectorConfig(name=name, model=str(file)))


def test_another_detectors_network_is_an_error_when_it_is_loaded(scrfd: DetectorConfig) -> None:
    with pytest.raises(DetectorError, match="it is no YuNet network that takes images of any size"):
        create_detector(DetectorConfig(name="yunet", model=scrfd.model))


def test_cuda_that_is_not_installed_is_an_error_and_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        DetectorError, match=r"no CUDAExecutionProvider \(it has CPU.*onnxruntime-gpu.*detector\.device=cpu"
    ):
        create_detector(DetectorConfig(name="insightface", model="x.onnx", device="cuda"))


def test_cuda_that_does_not_start_is_an_error_and_no_fallback(
    scrfd: DetectorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime warns, and computes on the CPU."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA, and a GPU may be at hand")
    real = onnxruntime.get_available_providers()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *real])
    with (
        pytest.warns(UserWarning, match="not in available provider"),
        pytest.raises(DetectorError, match="CUDAExecutionProvider could not start on this machine"),
    ):
        create_detector(scrfd.model_copy(update={"device": "cuda"}))


def test_the_fingerprint_is_of_weights_and_settings_not_of_their_place(tmp_path: Path) -> None:
    def fingerprint(content: bytes, name: str, **settings: float) -> str:
        file = tmp_path / name
        file.write_bytes(content)
        return detector_fingerprint(DetectorConfig(name="insightface", model=str(file), **settings))

    assert fingerprint(b"a", "1.onnx") == fingerprint(b"a", "2.onnx")
    assert fingerprint(b"a", "1.onnx") != fingerprint(b"b", "1.onnx")
    assert fingerprint(b"a", "1.onnx") != fingerprint(b"a", "1.onnx", min_score=0.7)
    assert detector_fingerprint(DetectorConfig()) != detector_fingerprint(DetectorConfig(upsample=1.0))
    assert detector_fingerprint(DetectorConfig()) != detector_fingerprint(DetectorConfig(rotations=True))
    assert detector_fingerprint(DetectorConfig()) == detector_fingerprint(DetectorConfig(device="cuda"))
