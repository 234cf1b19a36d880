"""One photo, looked at now: its faces as a run would cut them, for questions rather than for tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegpt.photo.crop import FRAMINGS, crop_matrix, cut, face_px
from facegpt.photo.decode import DecodeError, RejectedError, decode
from facegpt.photo.detectors import Detection, DetectorError, create_detector
from pipeline.config import RunConfig
from pipeline.errors import UsageError, describe
from pipeline.sources import Fetcher
from pipeline.storage.locations import Entry, normalize


@dataclass(frozen=True)
class FaceInPhoto:
    """A detected face and its crop (W, W, 3)."""

    detection: Detection
    crop: NDArray[np.uint8]


def faces_in(location: str, config: RunConfig, crop_size: int) -> list[FaceInPhoto]:
    """The faces of the photo at a path or s3:// URL, from left to right.

    Raises:
        UsageError: it cannot be read, or the detector cannot work.
    """
    try:
        data = Fetcher(config.decode.max_bytes)(Entry(normalize(location), None, None)).data
        image = decode(data, config.decode).rgb
        detector = create_detector(config.detector)
    except (DecodeError, RejectedError) as error:
        raise UsageError(f"{location} is no photo that can be read: {error}") from error
    except DetectorError as error:
        raise UsageError(str(error)) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {location}: {describe(error)}") from error
    framing = FRAMINGS[config.detector.name]
    found = [
        FaceInPhoto(face, cut(image, crop_matrix(face, framing, crop_size), crop_size))
        for face in detector.detect(image)
        if face_px(face) >= 1
    ]
    return sorted(found, key=lambda face: face.detection.box)
