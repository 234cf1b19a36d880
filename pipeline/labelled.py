"""Photos with labelled landmarks, cut as the pipeline cuts them: what `facegpt evaluate` measures a model on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.crop import FRAMINGS, crop_matrix, cut, face_px
from pipeline.decode import decode
from pipeline.detectors import Detection, Detector, create_detector
from pipeline.errors import UsageError

Floats = NDArray[np.float64]

LISTING = "faces.jsonl"


@dataclass(frozen=True)
class LabelledFace:
    """One labelled face: its set (the first folder of its path), true points (68,2) in the image, true pose (3,) as
    yaw, pitch and roll in degrees if the label has it, and, if found, its crop and the size of its box in pixels.
    """

    path: str
    group: str
    landmarks68: Floats
    pose: Floats | None
    crop: NDArray[np.uint8] | None
    crop_matrix: Floats | None
    face_px: float | None


def read_labelled(folder: str, config: RunConfig, crop_size: int) -> Iterator[LabelledFace]:
    """Detects and cuts every face that `folder/faces.jsonl` lists with `path`, `landmarks68` and maybe `pose`.

    `pose` is an object of `yaw`, `pitch` and `roll` in degrees with the signs of AFLW2000-3D's Pose_Para, or null. A
    face counts as found if a detected box holds the middle of its true points; the true points serve for nothing else.
    Raises UsageError if there is no such list, or a pose is something else.
    """
    listing = Path(folder) / LISTING
    if not listing.is_file():
        raise UsageError(f"{folder} has no {LISTING}")
    detector = create_detector(config.detector)
    for line in listing.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        points = np.array(row["landmarks68"], np.float64)
        image = decode((Path(folder) / row["path"]).read_bytes(), config.decode).rgb
        face = _holding(detector, image, points)
        matrix = None if face is None else crop_matrix(face, FRAMINGS[config.detector.name], crop_size)
        yield LabelledFace(
            path=row["path"],
            group=row["path"].split("/")[0],
            landmarks68=points,
            pose=_pose(row),
            crop=None if matrix is None else cut(image, matrix, crop_size),
            crop_matrix=matrix,
            face_px=None if face is None else face_px(face),
        )


def _pose(row: dict[str, Any]) -> Floats | None:
    pose = row.get("pose")
    if pose is None:
        return None
    try:
        return np.array([float(pose[name]) for name in ("yaw", "pitch", "roll")])
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{LISTING}: the pose of {row['path']} must be null, or have yaw, pitch and roll in degrees"
        ) from None


def _holding(detector: Detector, image: NDArray[np.uint8], points: Floats) -> Detection | None:
    x, y = (points.min(0) + points.max(0)) / 2
    holding = [
        face
        for face in detector.detect(image)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    # Of overlapping faces, the one whose middle is nearest is meant.
    return min(
        holding,
        key=lambda face: (face.box[0] + face.box[2] - 2 * x) ** 2 + (face.box[1] + face.box[3] - 2 * y) ** 2,
        default=None,
    )
