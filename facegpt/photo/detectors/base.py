"""What every detector gives, whatever is behind it."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from facegpt.photo.config import DetectorConfig

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

BORDER = 0.5
"""Width of the border of the padded pass, as a share of the image's longer side."""
TURNS = (1, 3, 2)
"""Quarter turns in which an image is searched when nothing was found in it as it is."""


class DetectorError(Exception):
    """The detector cannot be loaded; the message says why and what would help."""


@dataclass(frozen=True)
class Framing:
    """From a detector's box to the square: its side is `scale` times the geometric mean of the box's sides, its centre
    lies `right` and `down` times that mean from the centre of the box.

    A detector's own is what gives the framing of the rendered training faces (a square of 0.204 m, its centre 38 mm
    below the eyes) on near-frontal photos, by the median over 128 faces with known landmarks.
    """

    scale: float
    right: float
    down: float


@dataclass(frozen=True)
class Detection:
    """One face: `box` (x0, y0, x1, y1) and, where the detector gives them, `landmarks` (5, 2), in pixels of the image
    that was given, pixel centres at integers. Boxes may reach beyond the image. `score` is on the detector's own scale.
    `quarter_turns`: how often the image must be turned to the left by 90 degrees for the face to stand upright.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Floats | None = None
    quarter_turns: int = 0

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    def mapped(self, scale: float, dx: float, dy: float) -> Detection:
        """The detection in another image, where the point (x, y) lies at (scale * x + dx, scale * y + dy)."""
        shift = (dx, dy, dx, dy)
        x0, y0, x1, y1 = (scale * value + offset for value, offset in zip(self.box, shift, strict=True))
        points = None if self.landmarks is None else self.landmarks * scale + (dx, dy)
        return replace(self, box=(x0, y0, x1, y1), landmarks=points)

    def turned_back(self, turns: int, width: int, height: int) -> Detection:
        """A detection in `np.rot90(image, turns)`, in the image itself, which is `width` x `height` px."""
        corners = _turned_back(np.array(self.box).reshape(2, 2), turns, width, height)
        points = None if self.landmarks is None else _turned_back(self.landmarks, turns, width, height)
        (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
        box = (float(x0), float(y0), float(x1), float(y1))
        return replace(self, box=box, landmarks=points, quarter_turns=(self.quarter_turns + turns) % 4)


class Detector(abc.ABC):
    """A detector of faces. A subclass implements `find` for one image as it is; the passes around it are common to all.

    `name` is what `detector.name` says, `framing` leads from its boxes to the square of the training faces,
    `gives_landmarks` whether it finds five points, `default_score` its usual threshold, `devices` what it runs on,
    `padded_side` the long side in px that an image is shrunk to before the padded pass.
    """

    name: ClassVar[str]
    framing: ClassVar[Framing]
    gives_landmarks: ClassVar[bool]
    default_score: ClassVar[float]
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    padded_side: ClassVar[int] = 640
    """What fills the frame is large all the same."""

    def __init__(self, config: DetectorConfig) -> None:
        self.check_device(config.device)
        self.config = config
        self.min_score = self.default_score if config.min_score is None else config.min_score

    @classmethod
    def check_device(cls, device: str) -> None:
        """Raises DetectorError if what is installed can never run on this device, whatever the machine has."""
        if device not in cls.devices:
            raise DetectorError(
                f"detector {cls.name!r} runs on the CPU alone: detector.device must be cpu, not {device}"
            )

    @classmethod
    @abc.abstractmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        """A hash or version of the weights, found without loading them; raises DetectorError if there are none."""

    @classmethod
    def weight_files(cls, config: DetectorConfig) -> tuple[Path, ...]:
        """The files that hold the weights; none if they are built into a library. Raises as `weights_id` does."""
        return () if config.model is None else (Path(config.model).expanduser(),)

    @property
    def sees(self) -> int | None:
        """The long side in px of an image in which it finds all that it would find in a larger one; None: it wants each
        image as it is.
        """
        return None

    @abc.abstractmethod
    def find(self, rgb: Pixels) -> list[Detection]:
        """The faces in an image, in any order, overlapping ones included."""

    def detect(self, rgb: Pixels) -> list[Detection]:
        """The faces of an upright uint8 RGB image (height, width, 3), the surest first, at most `max_faces`.

        Where nothing is found, the image is searched again inside a border, since a face that fills the frame lacks the
        surroundings that detectors look for.

        With `rotations`, where still nothing is found, the other three directions are searched, and the one with the
        surest face counts; and a face stands the way that its own points say, if the detector gives points.
        """
        found = self._search(rgb)
        if self.config.rotations:
            found = found or max((self._search_turned(rgb, turns) for turns in TURNS), key=_surest)
            found = [_as_its_points_say(face) for face in found]
        return drop_overlaps(found, self.config.max_overlap)[: self.config.max_faces]

    def _search(self, rgb: Pixels) -> list[Detection]:
        found = self.find(rgb)
        if not found and self.config.padded_pass:
            found = self._find_padded(rgb)
        return found

    def _search_turned(self, rgb: Pixels, turns: int) -> list[Detection]:
        height, width = rgb.shape[:2]
        turned = np.ascontiguousarray(np.rot90(rgb, turns))
        return [face.turned_back(turns, width, height) for face in self._search(turned)]

    def _find_padded(self, rgb: Pixels) -> list[Detection]:
        small, scale = resized(rgb, min(1.0, self.padded_side / max(rgb.shape[:2])))
        border = round(max(small.shape[:2]) * BORDER)
        padded = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
        offset = (0.5 - border) / scale - 0.5
        found = [
            face.mapped(1 / scale, offset, offset) for face in self.find(np.asarray(padded, dtype=np.uint8))
        ]
        return [face for face in found if _centre_inside(face, rgb.shape[1], rgb.shape[0])]


def _centre_inside(face: Detection, width: int, height: int) -> bool:
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return 0 <= x < width and 0 <= y < height


def _as_its_points_say(face: Detection) -> Detection:
    """The face with the quarter turns that bring its mouth below its eyes; without points, as it is."""
    if face.landmarks is None:
        return face
    right, down = face.landmarks[3:5].mean(0) - face.landmarks[:2].mean(0)
    return replace(face, quarter_turns=round(float(-np.degrees(np.arctan2(right, down))) / 90) % 4)


def _surest(faces: list[Detection]) -> float:
    return max((face.score for face in faces), default=-np.inf)


def _turned_back(points: Floats, turns: int, width: int, height: int) -> Floats:
    """Points (N, 2) of `np.rot90(image, turns)` in the image itself, which is `width` x `height` px."""
    x, y = points.T
    right, bottom = width - 1, height - 1
    pairs = ((x, y), (right - y, x), (right - x, bottom - y), (y, bottom - x))
    return np.stack(pairs[turns % 4], axis=1)


def overlap(a: Detection, b: Detection) -> float:
    """Intersection over union of two boxes."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)


def drop_overlaps(faces: list[Detection], max_overlap: float) -> list[Detection]:
    """The faces, the surest first, without those that overlap a surer one by more than `max_overlap` (greedy NMS)."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        if all(overlap(face, other) <= max_overlap for other in kept):
            kept.append(face)
    return kept


def resized(rgb: Pixels, scale: float) -> tuple[Pixels, float]:
    """The image at about `scale` times its size, and the scale that it really has (averaged down, interpolated up)."""
    height, width = rgb.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return rgb, 1.0
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=how), dtype=np.uint8), max(size) / max(
        width, height
    )
