"""The dry mode: a model that says the mean face of everything, for runs that exercise everything but inference.

Its rows are no data, and say so: in every caption, in the header of every table, in run.json, status and report. They
have quality 0, so that whoever filters by quality keeps none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facegpt.bundled import BUNDLED_FACE_MODEL
from facegpt.model.digest import file_sha256
from facegpt.photo.config import NULL
from pipeline.annotate.weights.used import UsedWeight, used_face_model, used_null

if TYPE_CHECKING:
    from facegpt.model.annotation import FaceAnnotation
    from facegpt.morphable import FaceModel

CROP_SIZE = 112
"""That of the bundled checkpoint, so that as many bytes travel as with it."""
VERSION = 1
CAPTION = "null model: no face was looked at"
STATUS = NULL
PLACE = (0.0, 0.038, -0.9)
"""Metres from the camera to the head, which fills the crop, its middle 38 mm below the eyes."""
STEP = 8
"""Every so many pixels of a crop enter its mean colour."""


def notice(config: Mapping[str, Any]) -> str | None:
    """Tells what an output made with this configuration (as run.json keeps it) lacks; None if nothing was null."""
    stand_ins = []
    if config["model"]["path"] == NULL:
        stand_ins.append(CAPTION)
    if config["detector"]["name"] == NULL:
        stand_ins.append("null detector: its boxes are no faces")
    return "dry run, no data: " + "; ".join(stand_ins) if stand_ins else None


class NullSource:
    """A `pipeline.annotate.model_source.ModelSource` of the null model."""

    crop_size = CROP_SIZE

    @cached_property
    def digest(self) -> str:
        """There are no weights to hash: the words that the headers of the tables should say, and the face model."""
        return f"{CAPTION} (version {VERSION}, face model {self._face_model_sha256[:12]})"

    @property
    def weights(self) -> Sequence[UsedWeight]:
        """None of its own, and the face model's."""
        return used_null("model"), used_face_model(BUNDLED_FACE_MODEL, self._face_model_sha256)

    @cached_property
    def _face_model_sha256(self) -> str:
        return file_sha256(BUNDLED_FACE_MODEL)

    def load(self, device: str) -> NullAnnotator:
        """Takes no notice of `device`: there is nothing to compute."""
        return NullAnnotator(self.digest)


class NullAnnotator:
    """Gives every crop the bundled face model's mean face, upright in the middle, lit in the crop's mean colour."""

    crop_size = CROP_SIZE

    def __init__(self, digest: str) -> None:
        self.digest = digest

    @property
    def face_model(self) -> FaceModel:
        """The bundled one."""
        from facegpt.morphable import bundled

        return bundled()

    def crops_together(self, micro_batch: int) -> int:
        """Gives the number itself."""
        return micro_batch

    def crops_at_once(self, share: float) -> int:
        """Takes as many as a model does on the CPU: it needs next to no memory."""
        return 32

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> list[FaceAnnotation]:
        """Annotates crops (N, W, W, 3) in order; constants are shared, the light's first band is the crop's own.

        Every score is 0: nothing was compared with anything.
        """
        from facegpt.model.annotation import FaceAnnotation

        model = self.face_model
        zeros = {
            name: np.zeros(size, np.float32)
            for name, size in (
                ("shape", model.n_shape),
                ("expression", model.n_expression),
                ("albedo", model.n_albedo),
            )
        }
        lens, points = _projected(self.crop_size)
        lighting = np.zeros((len(crops), 27), np.float32)
        lighting[:, :3] = crops[:, ::STEP, ::STEP].mean((1, 2), dtype=np.float32) / 255
        constants: dict[str, Any] = {
            **zeros,
            "rotation": np.eye(3, dtype=np.float32),
            "translation": np.array(PLACE, np.float32),
            "camera": lens,
            "landmarks68": points,
            "caption": CAPTION,
            "caption_status": STATUS,
        }
        scores = ("caption_agreement", "photometric_psnr", "prior_distance", "sharpness", "quality")
        constants |= dict.fromkeys((*scores, "yaw_deg", "pitch_deg", "roll_deg"), 0.0)
        return [FaceAnnotation(**constants, lighting=light) for light in lighting]


@cache
def _projected(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Computes the lens (focal length, cx, cy), and the mean face's landmarks (68, 2), in px of a crop of `size` px."""
    import torch

    from facegpt.morphable import bundled
    from facegpt.rendering import Camera, to_camera

    model, camera = bundled(), Camera(size)
    upright = torch.eye(3)[None]
    points = model.landmarks(model.mean[None], upright)
    pixels, _ = camera.project(to_camera(points, upright, torch.tensor([PLACE])))
    lens = np.array([float(camera.focal), camera.centre, camera.centre], np.float32)
    return lens, pixels[0].numpy().astype(np.float32)
