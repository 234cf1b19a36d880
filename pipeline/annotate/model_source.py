"""What the pipeline asks of a model, and where models come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.annotate.weights.used import UsedWeight, used_face_model, used_model
from pipeline.errors import UsageError, describe

if TYPE_CHECKING:
    from facegpt.model.annotation import FaceAnnotation
    from facegpt.morphable import FaceModel


BUNDLED = "bundled"


class Annotator(Protocol):
    """A loaded model: `facegpt.model.annotator.FaceAnnotator`, or a stand-in for it in a test."""

    @property
    def face_model(self) -> FaceModel: ...

    @property
    def digest(self) -> str: ...

    @property
    def crop_size(self) -> int: ...

    def crops_at_once(self, share: float) -> int: ...

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> Sequence[FaceAnnotation]: ...


class CrashError(Exception):
    """The model's process died of some crops, or was stopped; the message is the reason, for people."""


class AnnotatorSource(Protocol):
    """A model that is not loaded yet: cheap to make, to send to a worker, and to ask who it is."""

    @property
    def crop_size(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def weights(self) -> Sequence[UsedWeight]: ...

    def load(self, device: str) -> Annotator: ...


class Checkpoint:
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
    def _sha256(self) -> dict[str, str]:
        """By name of the files that make up the checkpoint; read once, since they may be many gigabytes."""
        found = {}
        # As `facegpt.model.checkpoint.DIGESTED`, whose import would cost that of torch; a test compares the digests.
        kinds = ("*.json", "*.jinja", "*.safetensors")
        for path in sorted(path for kind in kinds for path in self.folder.glob(kind)):
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    @property
    def digest(self) -> str:
        """sha256 over names and contents of configuration and weights, as `facegpt.model.checkpoint.digest` has it."""
        total = hashlib.sha256()
        for name, sha256 in self._sha256.items():
            total.update(name.encode() + b"\0" + bytes.fromhex(sha256))
        return total.hexdigest()

    @property
    def weights(self) -> Sequence[UsedWeight]:
        """The checkpoint's and the face model's; raises UsageError if the latter is something else."""
        mine = {name: sha256 for name, sha256 in self._sha256.items() if name.endswith(".safetensors")}
        face_model = used_face_model(face_model_file(self.face_model), self._face_model_sha256)
        return used_model(self.name, self.folder, mine), face_model

    def load(self, device: str) -> Annotator:
        """Loads it on `cpu` or `cuda`."""
        from facegpt.model.annotator import FaceAnnotator

        return FaceAnnotator.from_pretrained(self.name, device=device, face_model=self.face_model)


def face_model_file(face_model: str) -> Path:
    """The file of a face model, `bundled` or a stored one."""
    if face_model == BUNDLED:
        return Path(str(files("facegpt"))) / "assets" / "anny-head" / "face_model.safetensors"
    return Path(face_model).expanduser()


def check_face_model(config: dict[str, Any], name: str, face_model: str) -> str:
    """The sha256 of `face_model`; raises UsageError unless the checkpoint `name` with `config` was trained on it.

    Loads neither.
    """
    path = face_model_file(face_model)
    if path.suffix != ".safetensors":
        raise UsageError(
            f"model.face_model {face_model} is not stored as this project's .safetensors: run `facegpt "
            f"import-face-model {face_model} {path.stem}.safetensors` first, and name that file"
        )
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read the face model {face_model}: {describe(error)}") from None
    wanted = config.get("face_model_sha256")
    if wanted and wanted != found:
        raise UsageError(
            f"checkpoint {name} was trained on face model {config.get('face_model_id')} ({wanted[:8]}), not on "
            f"{face_model} ({found[:8]}): name that face model (--face-model), or a checkpoint that was trained on "
            "this one (--model; facegpt train makes one)"
        )
    return found


def _locate(name: str) -> Path:
    if name == BUNDLED:
        return Path(str(files("facegpt"))) / "assets" / "facegpt-small"
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from facegpt.model.checkpoint import CheckpointError, locate

    try:
        return locate(name)
    except CheckpointError as error:
        raise UsageError(f"model.path: {error}") from error
