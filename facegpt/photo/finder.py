"""From one photo to the crops of its faces: decode, detect, frame, cut. The stage and the library share it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.photo.crop import Floats, Pixels, crop_matrix, cut, face_px, needed_reduction, reduced
from facegpt.photo.decode import Decoded, decode, image_id_of, pixels_id_of
from facegpt.photo.detectors import create_detector
from facegpt.photo.detectors.registry import detector_fingerprint

SMALLEST_PX = 1.0
"""Faces whose box is smaller, in pixels of the image, are none."""


@dataclass(frozen=True)
class FaceCrop:
    """A detected face and its crop: uint8 sRGB (W, W, 3).

    `box` (x0, y0, x1, y1), `landmarks5` (5, 2), None where the detector gives no points, and `face_px` are in pixels of
    the upright image; `crop_matrix` (2, 3) leads from them to pixels of the crop. `face_index` 0 is the surest face.
    """

    face_id: str
    face_index: int
    box: tuple[float, float, float, float]
    det_score: float
    landmarks5: Floats | None
    crop_matrix: Floats
    face_px: float
    crop: NDArray[np.uint8]


@dataclass(frozen=True)
class DetectedPhoto:
    """A photo after detection: its id, its size in pixels after EXIF orientation, and its faces, the surest first."""

    image_id: str
    width: int
    height: int
    faces: list[FaceCrop]


class FaceFinder:
    """The way from a photo to crops of `crop_size` px, of a square `margin` times that which a model wants.

    It loads the detector once.

    Raises (when made):
        facegpt.photo.detectors.DetectorError: the detector is unknown, or its weights cannot be found or loaded.
    """

    def __init__(
        self, decode: DecodeConfig, detector: DetectorConfig, crop_size: int, margin: float = 1.0
    ) -> None:
        self.config = decode
        self.crop_size = crop_size
        self.detector = create_detector(detector)
        self.fingerprint = detector_fingerprint(detector)
        framing = self.detector.framing
        self.framing = replace(framing, scale=margin * framing.scale)

    def __call__(self, photo: bytes | Decoded) -> DetectedPhoto:
        """Finds the faces in a file's bytes, or in pixels that are decoded already.

        Raises:
            facegpt.photo.decode.DecodeError: the bytes are no image that can be read.
            facegpt.photo.decode.RejectedError: the image is smaller than is wanted.
        """
        image = self.decode(photo) if isinstance(photo, bytes) else photo
        image_id = image_id_of(photo) if isinstance(photo, bytes) else pixels_id_of(image.rgb)
        return DetectedPhoto(image_id, image.width, image.height, self.find(image, image_id))

    def decode(self, data: bytes) -> Decoded:
        """Decodes a file's bytes within the bounds of the configuration, a large JPEG to what the detector looks at;
        raises as the call does.
        """
        return decode(data, self.config, self.detector.sees)

    def find(self, image: Decoded, image_id: str) -> list[FaceCrop]:
        """Detects and cuts the faces of an image; `image_id` enters the faces' ids.

        What was decoded to less than the smallest face's crop can show is decoded once more.
        """
        scale, shift = image.reduction, (image.reduction - 1) / 2
        found = [face.mapped(scale, shift, shift) for face in self.detector.detect(image.rgb)]
        detections = [face for face in found if face_px(face) >= SMALLEST_PX]
        matrices = [crop_matrix(face, self.framing, self.crop_size) for face in detections]
        crops = cut_all(image, matrices, self.crop_size)
        faces = []
        for index, (face, matrix, crop) in enumerate(zip(detections, matrices, crops, strict=True)):
            faces.append(
                FaceCrop(
                    face_id=face_id_of(image_id, self.fingerprint, face.box),
                    face_index=index,
                    box=face.box,
                    det_score=face.score,
                    landmarks5=face.landmarks,
                    crop_matrix=matrix,
                    face_px=face_px(face),
                    crop=crop,
                )
            )
        return faces


def cut_all(image: Decoded, matrices: list[Floats], size: int) -> list[Pixels]:
    """The crops (size, size, 3) under these matrices from pixels of the image, decoded as finely as they need."""
    if not matrices:
        return []
    fine = image.reduced_by_at_most(min(map(needed_reduction, matrices)))
    return [cut(fine.rgb, reduced(matrix, fine.reduction), size) for matrix in matrices]


def face_id_of(image_id: str, fingerprint: str, box: tuple[float, float, float, float]) -> str:
    """32 hex digits from the image's content, the detector's fingerprint and the box rounded to pixels."""
    rounded = ",".join(str(round(value)) for value in box)
    return hashlib.sha256(f"{image_id} {fingerprint} {rounded}".encode()).hexdigest()[:32]
