"""Detectors by name. A new one is a subclass of Detector, in a file of its own, and a line here."""

from __future__ import annotations

import difflib
import hashlib
import json

from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import Detector, DetectorError
from facegpt.photo.detectors.dlib_frontal import DlibDetector
from facegpt.photo.detectors.insightface_scrfd import InsightFaceDetector
from facegpt.photo.detectors.libfacedetection import LibFaceDetection
from facegpt.photo.detectors.null import NullDetector
from facegpt.photo.detectors.opencv_yunet import YuNetDetector

DETECTORS: dict[str, type[Detector]] = {
    kind.name: kind
    for kind in (DlibDetector, InsightFaceDetector, LibFaceDetection, NullDetector, YuNetDetector)
}
NAMES = tuple(DETECTORS)


def detector_class(name: str) -> type[Detector]:
    """The class behind a detector's name; raises DetectorError, naming the nearest, if there is none."""
    if name not in DETECTORS:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0) or [NAMES[0]]
        raise DetectorError(
            f"there is no detector {name!r}; did you mean {near[0]!r}? Known: {', '.join(NAMES)}"
        )
    return DETECTORS[name]


def create_detector(config: DetectorConfig) -> Detector:
    """Loads the detector that the configuration names; another one is never taken in its place.

    Raises:
        DetectorError: the name is unknown, or the weights cannot be found or loaded.
    """
    return detector_class(config.name)(config)


def detector_fingerprint(config: DetectorConfig) -> str:
    """Hash (16 hex digits) of the detector's name, weights and settings; the place of the weights and the device that
    computes do not enter it.
    """
    values = config.model_dump(mode="json", exclude={"model", "device"})
    values["weights"] = detector_class(config.name).weights_id(config)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
