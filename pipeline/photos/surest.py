"""Photos without labels, cut as the pipeline cuts them: what a reconstruction is compared with pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from facegpt.evaluation.photo_faces import PhotoFace
from facegpt.photo.detectors import DetectorError
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.shards.shard import ShardTask
from pipeline.sources import Listing
from pipeline.storage.locations import Entry


def spread_photos(location: str, count: int) -> list[Entry]:
    """The images of `location`, anything that a run can read, in the order of the listing; of more than `count`, that
    many, evenly spread.

    Raises:
        UsageError: it cannot be read, or holds no image.
    """
    found = [entry for chunk in Listing(location) for entry in chunk]
    if len(found) <= count:
        return found
    return [found[int(i)] for i in np.linspace(0, len(found) - 1, count)]


def surest_faces(photos: Sequence[Entry], config: RunConfig, crop_size: int) -> Iterator[PhotoFace]:
    """Detects and cuts the surest face of each photo; one that cannot be read says so and is passed over.

    Raises:
        UsageError: the detector cannot work.
    """
    try:
        detect = DetectAndCrop(config, crop_size)
    except DetectorError as error:
        raise UsageError(str(error)) from error
    for found in detect.each(ShardTask("", tuple(photos))):
        record = found.record
        unread = str(record.reason) if record.status in ("failed", "rejected") else None
        surest = max(found.faces, key=lambda face: face.det_score, default=None)
        yield PhotoFace(record.uri, None if surest is None else surest.crop, unread)
