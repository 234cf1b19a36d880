"""What every detector gives, whatever is behind it."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.config import DetectorConfig

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

BORDER = 0.5
"""Width of the border of the padded pass, as a share of the image's longer side."""
PADDED_SIDE = 640
"""Long side in px that an image is shrunk to before the padded pass: what fills the frame is large all the same."""


class DetectorError(Exception):
    """The detector cannot be loaded; the message says why and what would help."""


@dataclass(frozen=True)
class Detection:
    """One face: `box` (x0, y0, x1, y1) and, where the detector gives them, `landmarks` (5, 2), in pixels of the image
    that was given, pixel centres at integers. Boxes may reach beyond the image. `score` is on the detector's own scale.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Floats | None = None

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


class Detector(abc.ABC):
    """Finds faces. A subclass implements `find` for one image as it is; the passes around it are common to all."""

    name: ClassVar[str]
    gives_landmarks: ClassVar[bool]
    default_score: ClassVar[float]

    def __init__(self, config: DetectorConfig) -> None:
        self.config = config
        self.min_score = self.default_score if config.min_score is None else config.min_score

    @classmethod
    @abc.abstractmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        """A hash or version of the weights, found without loading them; raises DetectorError if there are none."""

    @classmethod
    def weight_files(cls, config: DetectorConfig) -> tuple[Path, ...]:
        """The files that hold the weights; none if they are built into a library. Raises as `weights_id` does."""
        return () if config.model is None else (Path(config.model).expanduser(),)

    @abc.abstractmethod
    def find(self, rgb: Pixels) -> list[Detection]:
        """The faces in an image, in any order, overlapping ones included."""

    def detect(self, rgb: Pixels) -> list[Detection]:
        """The faces of an upright uint8 RGB image (height, width, 3), the surest first, at most `max_faces`.

        Where nothing is found, the image is searched again inside a border, since a face that fills the frame lacks the
        surroundings that detectors look for.
        """
        found = self.find(rgb)
        if not found and self.config.padded_pass:
            found = self._find_padded(rgb)
        return drop_overlaps(found, self.config.max_overlap)[: self.config.max_faces]

    def _find_padded(self, rgb: Pixels) -> list[Detection]:
        small, scale = resized(rgb, min(1.0, PADDED_SIDE / max(rgb.shape[:2])))
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
