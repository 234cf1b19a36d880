"""Linear 3D morphable face models and the parameters theta of a face."""

from facegpt.morphable.bundled import bundled
from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.theta import Theta

__all__ = ["FaceModel", "Theta", "bundled"]
