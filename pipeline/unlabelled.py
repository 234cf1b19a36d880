"""Photos without labels, cut for training: every face that the detector finds, wider than a model's crop."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from facegpt.training.photos.crops import MARGIN, PhotoCrops, wide_side
from pipeline.config import RunConfig
from pipeline.detect import DetectAndCrop
from pipeline.detectors import DetectorError
from pipeline.errors import UsageError
from pipeline.records import ShardTask
from pipeline.sources import Listing

LOG = logging.getLogger("facegpt")
SMALLEST_PX = 48.0
"""Smaller faces show too little for anyone to learn from."""


def cut_photos(locations: Sequence[str], config: RunConfig, size: int) -> PhotoCrops:
    """Wide crops, for a model that wants `size` px, of the faces in all images of `locations`; what cannot be read is
    counted and left out.

    Raises:
        UsageError: a location cannot be read or holds no image, there is no face in any, or the detector cannot work.
    """
    try:
        detect = DetectAndCrop(config, wide_side(size), margin=MARGIN)
    except DetectorError as error:
        raise UsageError(str(error)) from error
    crops, images, failed = [], 0, 0
    for location in locations:
        for chunk in Listing(location):
            for found in detect.each(ShardTask("", tuple(chunk))):
                images += 1
                failed += found.record.status in ("failed", "rejected")
                crops += [crop for face, crop in found.faces if face.face_px >= SMALLEST_PX]
            LOG.info("%s faces in %s photos (%s cannot be read)", len(crops), images, failed)
    if not crops:
        raise UsageError(f"no face to learn from in {images:,} images of {', '.join(locations)}")
    return PhotoCrops(np.stack(crops), size)
