"""Photos without labels, cut as the pipeline cuts them: what a reconstruction is compared with pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.crop import FRAMINGS, crop_matrix, cut
from pipeline.decode import DecodeError, RejectedError, decode
from pipeline.detectors import create_detector
from pipeline.sources.names import is_image


@dataclass(frozen=True)
class PhotoFace:
    """A photo, the crop of its surest face if one was found, and why it cannot be read, if so."""

    path: str
    crop: NDArray[np.uint8] | None
    unreadable: str | None = None


def photos_in(folder: str, count: int) -> list[Path]:
    """The image files below `folder` in the order of their names; of more than `count`, that many, evenly spread."""
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file() and is_image(path.name))
    if len(found) <= count:
        return found
    return [found[int(i)] for i in np.linspace(0, len(found) - 1, count)]


def read_photos(paths: list[Path], config: RunConfig, crop_size: int) -> Iterator[PhotoFace]:
    """Detects and cuts the surest face of each photo; one that cannot be read says so and is passed over."""
    detector = create_detector(config.detector)
    for path in paths:
        try:
            image = decode(path.read_bytes(), config.decode).rgb
        except (DecodeError, RejectedError) as error:
            yield PhotoFace(str(path), None, str(error))
            continue
        surest = max(detector.detect(image), key=lambda face: face.score, default=None)
        if surest is None:
            yield PhotoFace(str(path), None)
        else:
            matrix = crop_matrix(surest, FRAMINGS[config.detector.name], crop_size)
            yield PhotoFace(str(path), cut(image, matrix, crop_size))
