"""Photos to 3D faces: `facegpt.load()` gives a model that takes a photo, whole, and gives its faces.

Importing the package loads neither torch nor transformers; the first use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegpt.library.errors import FaceGptError, LoadError, PhotoError
    from facegpt.library.face import Answer, Face, Faces, ImaginedFace
    from facegpt.library.serving import FaceGpt, load
    from facegpt.photo.config import DecodeConfig, DetectorConfig

    __version__: str

__all__ = [
    "Answer",
    "DecodeConfig",
    "DetectorConfig",
    "Face",
    "FaceGpt",
    "FaceGptError",
    "Faces",
    "ImaginedFace",
    "LoadError",
    "PhotoError",
    "__version__",
    "load",
]

_MODULES = {
    "Answer": "facegpt.library.face",
    "DecodeConfig": "facegpt.photo.config",
    "DetectorConfig": "facegpt.photo.config",
    "Face": "facegpt.library.face",
    "FaceGpt": "facegpt.library.serving",
    "FaceGptError": "facegpt.library.errors",
    "Faces": "facegpt.library.face",
    "ImaginedFace": "facegpt.library.face",
    "LoadError": "facegpt.library.errors",
    "PhotoError": "facegpt.library.errors",
    "load": "facegpt.library.serving",
}


if not TYPE_CHECKING:  # or every name would be one to a type checker

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return version("facegpt")
        if name not in _MODULES:
            raise AttributeError(f"module 'facegpt' has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
