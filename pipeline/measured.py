"""The figures of a model on real photos: labelled faces, or photos alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from facegpt.evaluation.bins import SIZE_EDGES, YAW_EDGES, by_bin, count_by_bin
from facegpt.evaluation.geometry import angle_error, landmark_box_error, landmark_nme
from facegpt.evaluation.photometric import lit_fit
from facegpt.evaluation.pose import yaw_from_landmarks
from facegpt.evaluation.ranking import rank_correlation
from facegpt.model.annotation import FaceAnnotation
from facegpt.model.annotator import FaceAnnotator
from facegpt.morphable import Theta
from facegpt.rendering import matrix_to_axis_angle
from pipeline.crop import to_image
from pipeline.labelled import LabelledFace
from pipeline.portraits import PhotoFace

FARTHEST = 99.0
"""Degrees: a face with a labelled angle beyond counts in no pose error (the protocol on AFLW2000-3D)."""
CHUNK = 32
U8 = NDArray[np.uint8]


def measure_labelled(annotator: FaceAnnotator, faces: Sequence[LabelledFace]) -> dict[str, dict[str, float]]:
    """Figures by set of faces; a face that the detector missed has no landmarks and counts in `faces` alone.

    Faces fall into bins of yaw by their labelled pose or, without one, by `yaw_from_landmarks` of their true points;
    pose errors are of labelled poses alone. Bins of size go by the detector's box. `psnr_gain_db` is explained in
    `facegpt.evaluation.photometric`.
    """
    figures: dict[str, dict[str, float]] = {}
    for group in sorted({face.group for face in faces}):
        members = [face for face in faces if face.group == group]
        found = [face for face in members if face.crop is not None]
        yaw = _yaw(annotator, members)
        figures[group] = {
            "faces": len(members),
            "found": len(found),
            **count_by_bin("faces_yaw", yaw, YAW_EDGES),
        }
        if found:
            figures[group] |= _found(annotator, found, yaw[[face.crop is not None for face in members]])
    return figures


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
        figures |= _pictures(annotator, said, np.stack(crops))
    return figures


def _found(annotator: FaceAnnotator, faces: list[LabelledFace], yaw: NDArray[np.float64]) -> dict[str, float]:
    crops = np.stack([face.crop for face in faces if face.crop is not None])
    said = annotator.annotate(crops)
    points = np.stack(
        [
            to_image(np.asarray(one.landmarks68, np.float64), face.crop_matrix)
            for one, face in zip(said, faces, strict=True)
            if face.crop_matrix is not None
        ]
    )
    true = np.stack([face.landmarks68 for face in faces])
    error = landmark_nme(points, true)
    percent = 100 * error.per_face.numpy()
    size = np.array([face.face_px for face in faces], np.float64)
    figures = {
        "nme_percent": 100 * error.mean,
        "nme_percent_median": float(np.median(percent)),
        **{f"nme_percent_{part}": 100 * value for part, value in error.parts.items()},
        **count_by_bin("found_yaw", yaw, YAW_EDGES),
        **by_bin("nme_box_percent_yaw", 100 * landmark_box_error(points, true).numpy(), yaw, YAW_EDGES),
        **count_by_bin("faces_px", size, SIZE_EDGES),
        **by_bin("nme_percent_px", percent, size, SIZE_EDGES),
        **_pose_errors(said, faces),
        **_pictures(annotator, said, crops),
    }
    if len(faces) > 2:
        quality = np.array([one.quality for one in said])
        figures["quality_rank_correlation"] = rank_correlation(quality, percent)
    return figures


def _yaw(annotator: FaceAnnotator, faces: list[LabelledFace]) -> NDArray[np.float64]:
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


def _pictures(annotator: FaceAnnotator, said: list[FaceAnnotation], crops: U8) -> dict[str, float]:
    theta = theta_of(said)
    fits = [
        lit_fit(
            annotator.face_model,
            theta[start : start + CHUNK],
            annotator.checkpoint.processor.pixel_values(crops[start : start + CHUNK]),
        )
        for start in range(0, len(crops), CHUNK)
    ]
    own, mean = torch.cat([fit.own for fit in fits]), torch.cat([fit.mean_face for fit in fits])
    drawn = torch.isfinite(own) & torch.isfinite(mean)
    figures = {
        "psnr_db": float(np.mean([one.photometric_psnr for one in said])),
        "caption_agreement": float(np.mean([one.caption_agreement for one in said])),
    }
    if drawn.any():
        gain = (own - mean)[drawn]
        figures["psnr_lit_db"] = float(own[drawn].mean())
        figures["psnr_mean_face_lit_db"] = float(mean[drawn].mean())
        figures["psnr_gain_db"] = float(gain.mean())
        if len(gain) > 1:
            figures["psnr_gain_db_se"] = float(gain.std() / len(gain) ** 0.5)
    return figures


def theta_of(said: Sequence[FaceAnnotation]) -> Theta:
    """The parameters of annotated faces as one batch."""

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(getattr(one, name), np.float32) for one in said]))

    return Theta(
        stacked("shape"),
        stacked("expression"),
        stacked("albedo"),
        stacked("lighting"),
        matrix_to_axis_angle(stacked("rotation")),
        stacked("translation"),
    )
