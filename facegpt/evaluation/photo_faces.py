"""Faces in photos that a model is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegpt.photo.finder import FaceCrop

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledFace:
    """One labelled face: its set (the first folder of its path), true points (68,2) in the image, true pose (3,) as
    yaw, pitch and roll in degrees if the label has it, and the face that the detector found there, if it did.
    """

    path: str
    group: str
    landmarks68: Floats
    pose: Floats | None
    detected: FaceCrop | None


@dataclass(frozen=True)
class PhotoFace:
    """A photo, the crop of its surest face if one was found, and why it cannot be read, if so."""

    uri: str
    crop: NDArray[np.uint8] | None
    unreadable: str | None = None
