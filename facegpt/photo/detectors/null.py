"""The dry mode's detector: a box in the middle of most images, whatever they show."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detection, Detector, DetectorError, Framing, Pixels

VERSION = 1
GRID = 16
"""A score is a hash of about this many pixels by as many."""
NO_FACE = 0.125
"""The share of images in which nothing is found, unless detector.min_score is another: scores are spread evenly."""


class NullDetector(Detector):
    """Finds one box of half the shorter side, in the middle, and looks for no face.

    The score is a hash of some pixels, evenly spread over 0 to 1; an image whose score lies below the threshold has no
    box. So `detector.min_score` is the share of images without a face: 1 in 8 by default.
    """

    name: ClassVar[str] = "null"
    framing: ClassVar[Framing] = Framing(scale=1.0, right=0.0, down=0.0)
    """The box holds no face to frame."""
    gives_landmarks: ClassVar[bool] = False
    default_score: ClassVar[float] = NO_FACE

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        if config.model is not None:
            raise DetectorError("detector 'null' has no weights: detector.model must be absent")
        return f"null {VERSION}"

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.weights_id(config)

    def find(self, rgb: Pixels) -> list[Detection]:
        height, width = rgb.shape[:2]
        score = _score(rgb)
        if score < self.min_score:
            return []
        half = min(height, width) / 4
        x, y = (width - 1) / 2, (height - 1) / 2
        return [Detection((x - half, y - half, x + half, y + half), score)]

    def detect(self, rgb: Pixels) -> list[Detection]:
        """As `find`; a second look with a border would only throw the dice again."""
        return self.find(rgb)


def _score(rgb: Pixels) -> float:
    height, width = rgb.shape[:2]
    sample = rgb[:: max(1, height // GRID), :: max(1, width // GRID)]
    digest = hashlib.blake2b(f"{width}x{height} ".encode() + sample.tobytes(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32
