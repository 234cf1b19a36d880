"""The row of a face in the table `faces`: what a detector found and a model says of it, as values by column."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facegpt.model.annotation import FaceAnnotation
from facegpt.photo.crop import to_image

COEFFICIENTS = ("shape", "expression", "albedo", "lighting", "rotation", "translation", "camera")
ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
SCORES = ("photometric_psnr", "prior_distance", "sharpness", "caption_agreement", "quality")

Floats = NDArray[np.float64]


class Detected(Protocol):
    """What a row needs of a detected face; `facegpt.photo.finder.FaceCrop` has it, and says what it is."""

    @property
    def face_id(self) -> str: ...

    @property
    def face_index(self) -> int: ...

    @property
    def box(self) -> tuple[float, float, float, float]: ...

    @property
    def det_score(self) -> float: ...

    @property
    def landmarks5(self) -> Floats | None: ...

    @property
    def crop_matrix(self) -> Floats: ...

    @property
    def face_px(self) -> float: ...


def row_of(
    face: Detected,
    annotation: FaceAnnotation,
    *,
    image_id: str | None,
    uri: str | None,
    shard: str | None,
    mesh: bool,
) -> dict[str, Any]:
    """The values of a row by column, in the table's order; arrays are flat and float32.

    Args:
        face: its box, points and crop matrix in pixels of the upright image.
        annotation: its landmarks are in pixels of the crop.
        image_id: of the image that holds the face, as are `uri` and `shard`.
        mesh: whether the shard has a mesh of the face, which then is named after it.
    """
    points = to_image(np.asarray(annotation.landmarks68, dtype=np.float64), face.crop_matrix)
    five = five_of(points) if face.landmarks5 is None else face.landmarks5
    return {
        "face_id": face.face_id,
        "image_id": image_id,
        "uri": uri,
        "shard": shard,
        "face_index": face.face_index,
        "box_xyxy": _flat(face.box),
        "det_score": face.det_score,
        "landmarks5": _flat(five),
        "crop_matrix": _flat(face.crop_matrix),
        **{name: _flat(getattr(annotation, name)) for name in COEFFICIENTS},
        **{name: float(getattr(annotation, name)) for name in ANGLES},
        "landmarks68": _flat(points),
        "caption": str(annotation.caption),
        "caption_status": str(annotation.caption_status),
        "photometric_psnr": float(annotation.photometric_psnr),
        "prior_distance": float(annotation.prior_distance),
        "sharpness": float(annotation.sharpness),
        "face_px": face.face_px,
        "caption_agreement": float(annotation.caption_agreement),
        "quality": float(annotation.quality),
        "mesh_member": f"{face.face_id}.glb" if mesh else None,
    }


def five_of(points: Floats) -> Floats:
    """Five points (5, 2) from 68 iBUG points: eye centres (left in the image first), nose tip, mouth corners."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def is_finite(annotation: FaceAnnotation) -> bool:
    """Whether every number that the model gave is one."""
    names = (*COEFFICIENTS, "landmarks68", *ANGLES, *SCORES)
    return all(
        bool(np.isfinite(np.asarray(getattr(annotation, name), dtype=np.float64)).all()) for name in names
    )


def _flat(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32).ravel()
