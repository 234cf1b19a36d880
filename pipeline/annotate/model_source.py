"""What the pipeline asks of a model, and where models come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facegpt.bundled import BUNDLED, BUNDLED_CHECKPOINT, BUNDLED_FACE_MODEL
from facegpt.model.digest import checkpoint_sha256, digest_of, file_sha256
from facegpt.model.trained_on import FaceModelName, mismatch
from pipeline.annotate.weights.used import UsedWeight, used_face_model, used_model
from pipeline.errors import UsageError, describe

if TYPE_CHECKING:
    from facegpt.model.annotation import FaceAnnotation
    from facegpt.morphable import FaceModel


class Annotator(Protocol):
    """A loaded model: `facegpt.model.annotator.FaceAnnotator`, or a stand-in for it in a test."""

    @property
    def face_model(self) -> FaceModel: ...

    @property
    def digest(self) -> str: ...

    @property
    def crop_size(self) -> int: ...

    def crops_at_once(self, share: float) -> int: ...

    def crops_together(self, micro_batch: int) -> int: ...

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> Sequence[FaceAnnotation]: ...


class CrashError(Exception):
    """The model's process died of some crops, or was stopped; the message is the reason, for people."""


class ModelSource(Protocol):
    """A model that is not loaded yet: cheap to make, to send to a worker, and to ask who it is."""

    @property
    def crop_size(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def weights(self) -> Sequence[UsedWeight]: ...

    def load(self, device: str) -> Annotator: ...


class CheckpointSource:
    """A FaceGPT checkpoint by folder, hub name or `bundled`; asking it anything does not load it, nor import torch.

    `face_model`: the face model that it was trained on, `bundled` or a stored one.

    Raises (when made):
        UsageError: there is no checkpoint of that name, no such face model, or it was trained on another one.
    """

    def __init__(self, name: str, face_model: str = BUNDLED) -> None:
        self.name, self.face_model = name, face_model
        self.folder = _locate(name)
        try:
            self._config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no FaceGPT checkpoint in {self.folder} (model.path): {describe(error)}"
            ) from error
        self._face_model_sha256 = check_face_model(self._config, name, face_model)

    @property
    def crop_size(self) -> int:
        """Side of the crops in pixels."""
        if "crop_size" in self._config:
            return int(self._config["crop_size"])
        from facegpt.model.configuration import FaceGptConfig

        return FaceGptConfig.crop_size

    @cached_property
    def _file_sha256(self) -> dict[str, str]:
        """By name of the files that make up the checkpoint; read once, since they may be many gigabytes."""
        return checkpoint_sha256(self.folder)

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the checkpoint's files."""
        return digest_of(self._file_sha256)

    @property
    def weights(self) -> Sequence[UsedWeight]:
        """The checkpoint's and the face model's; raises UsageError if the latter is something else."""
        sha256 = {name: value for name, value in self._file_sha256.items() if name.endswith(".safetensors")}
        face_model = used_face_model(face_model_file(self.face_model), self._face_model_sha256)
        return used_model(self.name, self.folder, sha256), face_model

    def load(self, device: str) -> Annotator:
        """Loads it on `cpu` or `cuda`."""
        from facegpt.model.annotator import FaceAnnotator

        return FaceAnnotator.from_pretrained(self.name, device=device, face_model=self.face_model)


def face_model_file(face_model: str) -> Path:
    """Finds the file of a face model, `bundled` or a stored one."""
    return BUNDLED_FACE_MODEL if face_model == BUNDLED else Path(face_model).expanduser()


def check_face_model(config: dict[str, Any], name: str, face_model: str) -> str:
    """Computes the sha256 of `face_model`, and loads neither it nor the checkpoint `name`, whose settings are `config`.

    Raises:
        UsageError: it cannot be read, or the checkpoint was trained on another one.
    """
    path = face_model_file(face_model)
    if path.suffix != ".safetensors":
        raise UsageError(
            f"model.face_model {face_model} is not stored as this project's .safetensors: run `facegpt "
            f"import-face-model {face_model} {path.stem}.safetensors` first, and name that file"
        )
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise UsageError(f"cannot read the face model {face_model}: {describe(error)}") from None
    trained_on = FaceModelName(str(config.get("face_model_id")), config.get("face_model_sha256") or "")
    # One that does not say what it was trained on is refused when it is loaded.
    if trained_on.sha256 and (other := mismatch(trained_on, FaceModelName(face_model, sha256))):
        raise UsageError(
            f"checkpoint {name} {other}: name that face model (--face-model), or a checkpoint that was trained on "
            "this one (--model; facegpt train makes one)"
        )
    return sha256


def _locate(name: str) -> Path:
    if name == BUNDLED:
        return BUNDLED_CHECKPOINT
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from facegpt.model.checkpoint import CheckpointError, locate

    try:
        return locate(name)
    except CheckpointError as error:
        raise UsageError(f"model.path: {error}") from error
