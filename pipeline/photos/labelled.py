"""Photos with labelled landmarks, cut as the pipeline cuts them: what `facegpt evaluate` measures a model on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facegpt.evaluation.photo_faces import Floats, LabelledFace
from facegpt.photo.decode import DecodeError, RejectedError
from facegpt.photo.finder import FaceCrop, FaceFinder
from pipeline.config import RunConfig
from pipeline.errors import UsageError, describe

LISTING = "faces.jsonl"


def read_labelled(folder: str, config: RunConfig, crop_size: int) -> Iterator[LabelledFace]:
    """Detects and cuts every face that `folder/faces.jsonl` lists with `path`, `landmarks68` and maybe `pose`.

    `pose` is an object of `yaw`, `pitch` and `roll` in degrees with the signs of AFLW2000-3D's Pose_Para, or null. A
    face counts as found if a detected box and the box of its true points hold each other's middle (the box of another,
    larger face may hold that of a small one beside it); the true points serve for nothing else.

    Raises:
        UsageError: there is no such list, a line of it is something else, or a photo cannot be read: figures of some of
            the faces alone would not be those of the set.
    """
    listing = Path(folder) / LISTING
    if not listing.is_file():
        raise UsageError(f"{folder} has no {LISTING}")
    find = FaceFinder(config.decode, config.detector, crop_size)
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        path, points, pose = _row(f"{listing}, line {number}", line)
        try:
            faces = find((Path(folder) / path).read_bytes()).faces
        except (OSError, DecodeError, RejectedError) as error:
            raise UsageError(f"{listing}, line {number}: cannot read {path}: {describe(error)}") from None
        yield LabelledFace(path, path.split("/")[0], points, pose, _holding(faces, points))


def _row(where: str, line: str) -> tuple[str, Floats, Floats | None]:
    """Path, points (68,2) and pose of a line of the list."""
    try:
        row = json.loads(line)
        path, points = str(row["path"]), np.array(row["landmarks68"], np.float64)
        pose = row.get("pose")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{where} is no JSON object with path, landmarks68 and maybe pose") from None
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UsageError(f"{where}: landmarks68 must be 68 pairs of numbers")
    if pose is None:
        return path, points, None
    try:
        return path, points, np.array([float(pose[name]) for name in ("yaw", "pitch", "roll")])
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{where}: the pose of {path} must be null, or have yaw, pitch and roll in degrees"
        ) from None


def _holding(faces: list[FaceCrop], points: Floats) -> FaceCrop | None:
    """The face whose box and the box of the points (68,2) hold each other's middle, or None."""
    true = (*points.min(0), *points.max(0))
    x, y = _middle(true)
    holding = [face for face in faces if _holds(face.box, (x, y)) and _holds(true, _middle(face.box))]
    # Of overlapping faces, the one whose middle is nearest is meant.
    return min(
        holding,
        key=lambda face: (face.box[0] + face.box[2] - 2 * x) ** 2 + (face.box[1] + face.box[3] - 2 * y) ** 2,
        default=None,
    )


def _middle(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _holds(box: tuple[float, ...], point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
