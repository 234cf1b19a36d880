"""The figures of a model on real photos: labelled faces, or photos alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facegpt.evaluation.bins import SIZE_EDGES, YAW_EDGES, by_bin, count_by_bin
from facegpt.evaluation.geometry import angle_error, landmark_box_error, landmark_nme
from facegpt.evaluation.photo_faces import LabelledFace, PhotoFace
from facegpt.evaluation.photometric import lit_fit
from facegpt.evaluation.pose import yaw_from_landmarks
from facegpt.evaluation.ranking import rank_correlation
from facegpt.model.annotation import FaceAnnotation
from facegpt.model.annotator import FaceAnnotator
from facegpt.morphable import Theta
from facegpt.photo.crop import to_image

FARTHEST = 99.0
"""Degrees: a face with a labelled angle beyond counts in no pose error (the protocol on AFLW2000-3D)."""
CHUNK = 32
ALL = "all"
"""The set of the faces of all sets."""
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """A labelled face, its |yaw| in degrees and, if it was found, what the model says of it and the PSNR with the light
    fitted, in dB: its own, and the mean face's.
    """

    face: LabelledFace
    yaw: float
    said: FaceAnnotation | None
    lit: tuple[float, float]


def measure_labelled(annotator: FaceAnnotator, faces: Sequence[LabelledFace]) -> dict[str, dict[str, float]]:
    """Figures by set of faces and, of several sets, of `ALL`; a face that the detector missed has no landmarks and
    counts in `faces` alone.

    Faces fall into bins of yaw by their labelled pose or, without one, by `yaw_from_landmarks` of their true points;
    pose errors are of labelled poses alone. Bins of size go by the detector's box. `psnr_gain_db` is explained in
    `facegpt.evaluation.photometric`.
    """
    measured = _measured(annotator, faces)
    groups = sorted({face.group for face in faces})
    sets = {group: [one for one in measured if one.face.group == group] for group in groups}
    if len(groups) > 1:
        sets[ALL] = measured
    return {name: _figures(members) for name, members in sets.items()}


def measure_photos(annotator: FaceAnnotator, photos: Iterable[PhotoFace]) -> dict[str, float]:
    """Figures of the surest face of each photo, as far as they need no label."""
    seen = list(photos)
    crops = [photo.crop for photo in seen if photo.crop is not None]
    figures = {
        "photos": float(len(seen)),
        "unreadable": float(sum(photo.unreadable is not None for photo in seen)),
        "found": float(len(crops)),
    }
    if crops:
        said = annotator.annotate(np.stack(crops))
        figures |= _pictures(said, _lit(annotator, said, np.stack(crops)))
    return figures


def _measured(annotator: FaceAnnotator, faces: Sequence[LabelledFace]) -> list[Measured]:
    crops = [face.detected.crop for face in faces if face.detected is not None]
    said = annotator.annotate(np.stack(crops)) if crops else []
    lit = _lit(annotator, said, np.stack(crops)) if crops else []
    found = iter(zip(said, lit, strict=True))
    rows = list[Measured]()
    for face, yaw in zip(faces, _yaw(annotator, faces), strict=True):
        one, fit = (None, (math.nan, math.nan)) if face.detected is None else next(found)
        rows.append(Measured(face, float(yaw), one, fit))
    return rows


def _figures(members: Sequence[Measured]) -> dict[str, float]:
    found = [one for one in members if one.said is not None]
    figures = {
        "faces": float(len(members)),
        "found": float(len(found)),
        **count_by_bin("faces_yaw", _column(members, lambda one: one.yaw), YAW_EDGES),
    }
    return figures | _found(found) if found else figures


def _found(members: Sequence[Measured]) -> dict[str, float]:
    faces, said = [one.face for one in members], [one.said for one in members if one.said is not None]
    boxes = [face.detected for face in faces if face.detected is not None]
    points = np.stack(
        [
            to_image(np.asarray(one.landmarks68, np.float64), box.crop_matrix)
            for one, box in zip(said, boxes, strict=True)
        ]
    )
    true = np.stack([face.landmarks68 for face in faces])
    error = landmark_nme(points, true)
    percent = 100 * error.per_face.numpy()
    size = np.array([box.face_px for box in boxes], np.float64)
    yaw = _column(members, lambda one: one.yaw)
    figures = {
        "nme_percent": 100 * error.mean,
        "nme_percent_median": float(np.median(percent)),
        **{f"nme_percent_{part}": 100 * value for part, value in error.parts.items()},
        **count_by_bin("found_yaw", yaw, YAW_EDGES),
        **by_bin("nme_box_percent_yaw", 100 * landmark_box_error(points, true).numpy(), yaw, YAW_EDGES),
        **count_by_bin("faces_px", size, SIZE_EDGES),
        **by_bin("nme_percent_px", percent, size, SIZE_EDGES),
        **_pose_errors(said, faces),
        **_pictures(said, [one.lit for one in members]),
    }
    if len(faces) > 2:
        quality = np.array([one.quality for one in said])
        figures["quality_rank_correlation"] = rank_correlation(quality, percent)
    return figures


def _column(members: Sequence[Measured], value: Callable[[Measured], float]) -> NDArray[np.float64]:
    return np.array([value(one) for one in members], np.float64)


def _yaw(annotator: FaceAnnotator, faces: Sequence[LabelledFace]) -> NDArray[np.float64]:
    """|yaw| (N,) in degrees, labelled or from the labelled points."""
    points = np.stack([face.landmarks68 for face in faces])
    estimated = yaw_from_landmarks(annotator.face_model, points).abs().numpy()
    return np.array(
        [
            guess if face.pose is None else abs(face.pose[0])
            for face, guess in zip(faces, estimated, strict=True)
        ]
    )


def _pose_errors(said: list[FaceAnnotation], faces: list[LabelledFace]) -> dict[str, float]:
    rows = [
        ((one.yaw_deg, one.pitch_deg, one.roll_deg), face.pose)
        for one, face in zip(said, faces, strict=True)
        if face.pose is not None and float(np.abs(face.pose).max()) <= FARTHEST
    ]
    if not rows:
        return {}
    errors = angle_error(np.array([own for own, _ in rows]), np.array([true for _, true in rows])).mean(0)
    names = ("yaw_error_deg", "pitch_error_deg", "roll_error_deg")
    return {"poses": float(len(rows)), **dict(zip(names, errors.tolist(), strict=True))}


def _lit(annotator: FaceAnnotator, said: list[FaceAnnotation], crops: U8) -> list[tuple[float, float]]:
    """The PSNR of each face, and of the mean face in its place, with the light fitted; NaN where none is drawn."""
    theta = Theta.from_annotations([vars(annotation) for annotation in said])
    fits = [
        lit_fit(
            annotator.face_model,
            theta[start : start + CHUNK],
            annotator.checkpoint.processor.pixel_values(crops[start : start + CHUNK]),
        )
        for start in range(0, len(crops), CHUNK)
    ]
    own, mean = torch.cat([fit.own for fit in fits]), torch.cat([fit.mean_face for fit in fits])
    return list(zip(own.tolist(), mean.tolist(), strict=True))


def _pictures(said: Sequence[FaceAnnotation], lit: Sequence[tuple[float, float]]) -> dict[str, float]:
    figures = {
        "psnr_db": float(np.mean([one.photometric_psnr for one in said])),
        "caption_agreement": float(np.mean([one.caption_agreement for one in said])),
    }
    both = np.array(lit, np.float64)
    both = both[np.isfinite(both).all(1)]
    if len(both):
        own, mean = both.T
        gain = own - mean
        figures["psnr_lit_db"] = float(own.mean())
        figures["psnr_mean_face_lit_db"] = float(mean.mean())
        figures["psnr_gain_db"] = float(gain.mean())
        if len(gain) > 1:
            figures["psnr_gain_db_se"] = float(gain.std(ddof=1) / len(gain) ** 0.5)
    return figures
