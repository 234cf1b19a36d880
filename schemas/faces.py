"""The table `faces`: one row per face."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import column, vector
from schemas.version import SCHEMA_VERSION

CONVENTIONS = {
    "image_frame": "pixels of the upright original image, x right, y down, pixel centres at integers",
    "crop_frame": "pixels of the square crop, x right, y down, pixel centres at integers",
    "head_frame": "metres, x right in the image, y up, z to the camera; origin midway between the eyes, 63 mm apart",
    "camera_frame": "same axes, camera at the origin looking along -z; X_camera = R @ X_head + t",
    "projection": "u = focal * x / -z + cx, v = cy - focal * y / -z: pixels of the crop",
    "angles": "signs and order of AFLW2000-3D's Pose_Para, in degrees; the rotation matrix is the truth",
    "lighting": "9 real spherical harmonics (1, y, z, x, xy, yz, 3z2-1, xz, x2-y2) of the camera-frame normal, RGB",
    "coefficients": "shape, albedo: standard deviations; expression: ARKit action strength 0..1",
    "landmarks68": "iBUG order",
    "landmarks5": "eye left in the image, eye right in the image, nose tip, mouth corner left, mouth corner right",
}


@dataclass(frozen=True)
class FaceDims:
    """Numbers of shape, expression and albedo modes of the face model."""

    shape: int
    expression: int
    albedo: int


def faces_schema(dims: FaceDims) -> pa.Schema:
    """Builds the schema of `faces`: one row per face; arrays are `fixed_size_list<float32>` of the model's sizes."""
    return pa.schema(
        [*_detection_columns(), *_parameter_columns(dims), *_derived_columns()],
        metadata={
            "schema_version": SCHEMA_VERSION,
            "table": "faces",
            "conventions": json.dumps(CONVENTIONS, sort_keys=True),
        },
    )


def _detection_columns() -> list[pa.Field]:
    """Builds the columns of ids and of the detector's results."""
    return [
        column("face_id", pa.string(), "hash of image_id, detector fingerprint and rounded box"),
        column("image_id", pa.string(), "of the image that holds the face"),
        column("uri", pa.string(), "of the image that holds the face"),
        column("shard", pa.string(), "as in the manifest"),
        column("face_index", pa.int32(), "0 is the face that the detector is surest of"),
        column(
            "box_xyxy",
            vector(4),
            "the detector's box, beyond the border where the face is",
            unit="px, image",
        ),
        column("det_score", pa.float32(), "the detector's score, on its own scale"),
        column(
            "landmarks5",
            vector(10),
            "five points; see landmarks5_source in the metadata",
            unit="px, image",
        ),
        column("crop_matrix", vector(6), "row-major 2x3, image to crop: crop = A @ (x, y, 1)", unit="px"),
    ]


def _parameter_columns(dims: FaceDims) -> list[pa.Field]:
    """Builds the columns of theta and of the camera."""
    return [
        column("shape", vector(dims.shape), "identity coefficients", unit="standard deviations"),
        column("expression", vector(dims.expression), "expression coefficients", unit="0..1"),
        column("albedo", vector(dims.albedo), "albedo coefficients", unit="standard deviations"),
        column("lighting", vector(27), "spherical harmonics [9 bands][RGB], row-major", unit="linear RGB"),
        column("rotation", vector(9), "row-major 3x3, head frame to camera frame"),
        column("translation", vector(3), "head frame to camera frame", unit="m"),
        column("camera", vector(3), "focal length, cx, cy", unit="px, crop"),
    ]


def _derived_columns() -> list[pa.Field]:
    """Builds the columns of angles, landmarks, caption, scores and mesh."""
    return [
        column("yaw_deg", pa.float32(), "head yaw", unit="degrees"),
        column("pitch_deg", pa.float32(), "head pitch", unit="degrees"),
        column("roll_deg", pa.float32(), "head roll", unit="degrees"),
        column("landmarks68", vector(136), "x, y pairs in iBUG order", unit="px, image"),
        column("caption", pa.string(), "what is visible in the face"),
        column("caption_status", pa.string(), "ok | truncated | null (a dry run: no face was looked at)"),
        column(
            "photometric_psnr",
            pa.float32(),
            "reconstruction against the crop, inside its mask",
            unit="dB",
        ),
        column(
            "prior_distance",
            pa.float32(),
            "RMS of shape and albedo coefficients",
            unit="standard deviations",
        ),
        column("sharpness", pa.float32(), "of the crop"),
        column("face_px", pa.float32(), "geometric mean of the box's sides", unit="px, image"),
        column(
            "caption_agreement",
            pa.float32(),
            "share of the caption's statements that the parameters confirm",
        ),
        column("quality", pa.float32(), "0..1, for filtering"),
        column("mesh_member", pa.string(), "name of the GLB in meshes/SHARD.tar", nullable=True),
    ]
