"""Face detectors behind one interface, chosen by name."""

from facegpt.photo.detectors.base import Detection, Detector, DetectorError, drop_overlaps, overlap
from facegpt.photo.detectors.registry import NAMES, create_detector

__all__ = ["NAMES", "Detection", "Detector", "DetectorError", "create_detector", "drop_overlaps", "overlap"]
