"""YuNet through OpenCV's FaceDetectorYN: one small ONNX file, which the user names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detection, Detector, DetectorError, Framing, Pixels, resized

MAX_SIDE = 640
"""Default long side of what is searched: the network knows faces of 10 to 300 px."""
TOP_K = 5000
"""Candidates before NMS: OpenCV's own bound."""
TRIED = ((64, 64), (96, 64))
"""Input sizes that a file must take when it is loaded: a network of one fixed size would fail at the second photo."""


class YuNetDetector(Detector):
    """Faces up to full profile, with five landmarks. Scores run from 0 to 1.

    The usual threshold is the one of 0.6, 0.7, 0.8, 0.85 and 0.9 that invented no face on 22 photos without one, and
    still kept all of 269 labelled faces.
    """

    name: ClassVar[str] = "yunet"
    framing: ClassVar[Framing] = Framing(scale=1.28, right=0.0, down=0.13)
    """The box reaches from the hairline to the chin."""
    gives_landmarks: ClassVar[bool] = True
    default_score: ClassVar[float] = 0.85

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        path = _weights(config)
        try:
            self._network = _load(path, self.min_score, config.max_overlap)
        except cv2.error as error:
            raise DetectorError(
                f"detector 'yunet' cannot load {path}: it is no YuNet network that takes images of any size, such as "
                f"opencv_zoo's face_detection_yunet_2026may.onnx ({' '.join(error.err.split()) or 'OpenCV failed'})"
            ) from error

    @classmethod
    def weights_id(cls, config: DetectorConfig) -> str:
        return f"yunet {hashlib.sha256(_weights(config).read_bytes()).hexdigest()}"

    @property
    def sees(self) -> int:
        return self.config.max_side or MAX_SIDE

    def find(self, rgb: Pixels) -> list[Detection]:
        limit = self.config.max_side or MAX_SIDE
        searched, scale = resized(rgb, min(self.config.upsample, limit / max(rgb.shape[:2])))
        self._network.setInputSize((searched.shape[1], searched.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(searched, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        # Resizing keeps the image's corner, not the centre of its first pixel.
        offset = 0.5 / scale - 0.5
        faces = []
        for row in np.asarray(rows, np.float64):
            x, y, width, height = row[:4].tolist()
            face = Detection((x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2))
            faces.append(face.mapped(1 / scale, offset, offset))
        return faces


def _weights(config: DetectorConfig) -> Path:
    if config.model is None:
        raise DetectorError("detector 'yunet' needs detector.model: the path of a YuNet ONNX file")
    path = Path(config.model).expanduser()
    if not path.is_file():
        raise DetectorError(f"detector 'yunet': there is no file {config.model} (detector.model)")
    return path


def _load(path: Path, min_score: float, max_overlap: float) -> Any:
    level = cv2.utils.logging.getLogLevel()
    # OpenCV 5 warns of its own default target.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        network = cv2.FaceDetectorYN.create(str(path), "", TRIED[0], min_score, max_overlap, TOP_K)
        for width, height in TRIED:
            network.setInputSize((width, height))
            network.detect(np.zeros((height, width, 3), np.uint8))
    finally:
        cv2.utils.logging.setLogLevel(level)
    return network
