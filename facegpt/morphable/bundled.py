"""The face model that ships with the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from facegpt.morphable.face_model import FaceModel

PATH = Path(__file__).parent.parent / "assets" / "anny-head" / "face_model.safetensors"


@cache
def bundled() -> FaceModel:
    """`anny-head` on the CPU: 80 shape, 52 ARKit expression and 80 albedo modes. Shared: do not move it, copy it."""
    return FaceModel.load(PATH)
