"""Loaders of published face models: BFM, FLAME, ICT-FaceKit, GNM; each gives a `FaceModel` in this project's frame."""

from facegpt.morphable.formats.raw import FaceModelError, RawModel

__all__ = ["FaceModelError", "RawModel"]
