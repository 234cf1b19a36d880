"""Face detectors behind one interface, chosen by name."""

from pipeline.detectors.base import Detection, Detector, DetectorError, drop_overlaps, overlap
from pipeline.detectors.registry import NAMES, create_detector

__all__ = ["NAMES", "Detection", "Detector", "DetectorError", "create_detector", "drop_overlaps", "overlap"]
