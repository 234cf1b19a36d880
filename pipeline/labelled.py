"""Photos with labelled landmarks, cut as the pipeline cuts them: what `facegpt evaluate` measures a model on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.crop import FRAMINGS, crop_matrix, cut
from pipeline.decode import decode
from pipeline.detectors import Detector, create_detector
from pipeline.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledFace:
    """One labelled face: its set (the first folder of its path), true points (68,2) in the image, and crop if found."""

    path: str
    group: str
    landmarks68: Floats
    crop: NDArray[np.uint8] | None
    crop_matrix: Floats | None


def read_labelled(folder: str, config: RunConfig, crop_size: int) -> Iterator[LabelledFace]:
    """Detects and cuts every face that `folder/faces.jsonl` lists with `path` and `landmarks68`.

    A face counts as found if a detected box holds the middle of its true points; the true points serve for nothing
    else. Raises UsageError if there is no such list.
    """
    listing = Path(folder) / "faces.jsonl"
    if not listing.is_file():
        raise UsageError(f"{folder} has no faces.jsonl: DATA is 'rendered' or a folder of labelled faces")
    detector = create_detector(config.detector)
    for line in listing.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        points = np.array(row["landmarks68"], np.float64)
        image = decode((Path(folder) / row["path"]).read_bytes(), config.decode).rgb
        matrix = _matrix(detector, image, points, config.detector.name, crop_size)
        yield LabelledFace(
            path=row["path"],
            group=row["path"].split("/")[0],
            landmarks68=points,
            crop=None if matrix is None else cut(image, matrix, crop_size),
            crop_matrix=matrix,
        )


def _matrix(
    detector: Detector, image: NDArray[np.uint8], points: Floats, name: str, size: int
) -> Floats | None:
    x, y = (points.min(0) + points.max(0)) / 2
    holding = [
        face
        for face in detector.detect(image)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    if not holding:
        return None
    # Of overlapping faces, the one whose middle is nearest is meant.
    nearest = min(
        holding,
        key=lambda face: (face.box[0] + face.box[2] - 2 * x) ** 2 + (face.box[1] + face.box[3] - 2 * y) ** 2,
    )
    return crop_matrix(nearest, FRAMINGS[name], size)
