"""The annotation of one face. The module imports no torch, so that naming the type does not load a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FaceAnnotation:
    """An annotated face: theta by blocks, pose, landmarks in crop pixels, caption and scores.

    rotation (3,3) and translation (3,) metres take the head into the camera's frame; camera (3,) is focal length and
    principal point in crop pixels; landmarks68 (68,2). photometric_psnr: dB of the rendered face against the crop,
    reduced to 112 px if it is larger, inside the face. prior_distance: root mean square of shape and albedo
    coefficients. sharpness: standard deviation of the crop's Laplacian in grey levels of 0..1. quality: 0..1, falls
    with the landmark error that the model estimates. `Theta.from_annotations` makes a batch of annotations.
    """

    shape: F32
    expression: F32
    albedo: F32
    lighting: F32
    rotation: F32
    translation: F32
    camera: F32
    landmarks68: F32
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    caption: str
    caption_status: str
    caption_agreement: float
    photometric_psnr: float
    prior_distance: float
    sharpness: float
    quality: float
