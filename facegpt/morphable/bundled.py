"""The face model that ships with the package."""

from __future__ import annotations

from functools import cache

from facegpt.bundled import BUNDLED_FACE_MODEL
from facegpt.morphable.face_model import FaceModel

PATH = BUNDLED_FACE_MODEL


@cache
def bundled() -> FaceModel:
    """`anny-head` on the CPU: 80 shape, 52 ARKit expression and 80 albedo modes. Shared: do not move it, copy it."""
    return FaceModel.load(PATH)
