"""Photos without labels, cut for training: every face that the detector finds, wider than a model's crop."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facegpt.photo.detectors import DetectorError
from facegpt.training.photos.crops import MARGIN, PhotoCrops, wide_side
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.photos.from_output import annotated_faces, is_output
from pipeline.shards.shard import ShardTask
from pipeline.sources import Listing

LOG = logging.getLogger("facegpt")
SMALLEST_PX = 48.0
"""Smaller faces show too little for anyone to learn from."""
TOLD_EVERY = 500


def cut_photos(locations: Sequence[str], config: RunConfig, size: int, quality: float = 0.0) -> PhotoCrops:
    """Wide crops, for a model that wants `size` px, of the faces in all images of `locations`; what cannot be read is
    counted and left out.

    A location that is the OUTPUT of a run gives the faces that the run found, of at least `quality`; in all others the
    detector of `config` searches.

    Raises:
        UsageError: a location cannot be read or holds no image, there is no face in any, or the detector cannot work.
    """
    crops: list[NDArray[np.uint8]] = []
    images = failed = 0
    for location in locations:
        annotated = is_output(location)
        found = (
            annotated_faces(location, config.decode, size, SMALLEST_PX, quality)
            if annotated
            else _searched(location, config, size)
        )
        for faces, note in found:
            images, failed = images + 1, failed + bool(note)
            crops += faces
            if images % TOLD_EVERY == 0:
                _tell(len(crops), images, failed)
    if not crops:
        raise UsageError(f"no face to learn from in {images:,} images of {', '.join(locations)}")
    _tell(len(crops), images, failed)
    return PhotoCrops(np.stack(crops), size)


def _searched(location: str, config: RunConfig, size: int) -> Iterator[tuple[list[NDArray[np.uint8]], str]]:
    try:
        detect = DetectAndCrop(config, wide_side(size), margin=MARGIN)
    except DetectorError as error:
        raise UsageError(str(error)) from error
    for chunk in Listing(location):
        for found in detect.each(ShardTask("", tuple(chunk))):
            unread = found.record.status in ("failed", "rejected")
            large = [face.crop for face in found.faces if face.face_px >= SMALLEST_PX]
            yield large, str(found.record.reason) if unread else ""


def _tell(faces: int, images: int, failed: int) -> None:
    LOG.info("%s faces in %s photos (%s cannot be read)", faces, images, failed)
