"""What the pipeline asks of a model, and where models come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.sources import describe

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
    def licences(self) -> dict[str, str]: ...

    def load(self, device: str) -> Annotator: ...


class Checkpoint:
    """A FaceGPT checkpoint by folder, hub name or `bundled`; asking it anything does not load it, nor import torch.

    Raises (when made):
        UsageError: there is no checkpoint of that name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = _locate(name)
        try:
            self._config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no FaceGPT checkpoint in {self.folder} (model.path): {describe(error)}"
            ) from error

    @property
    def crop_size(self) -> int:
        """Side of the crops in pixels."""
        if "crop_size" in self._config:
            return int(self._config["crop_size"])
        from facegpt.model.configuration import FaceGptConfig

        return FaceGptConfig.crop_size

    @property
    def digest(self) -> str:
        """sha256 over names and contents of configuration and weights, as `facegpt.model.checkpoint.digest` has it."""
        total = hashlib.sha256()
        for path in sorted([*self.folder.glob("*.json"), *self.folder.glob("*.safetensors")]):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    @property
    def licences(self) -> dict[str, str]:
        """By weight: the model's, from its card, and the bundled face model's."""
        assets = Path(str(files("facegpt"))) / "assets"
        return {
            f"model {self.name}": card_licence(self.folder),
            "face model": card_licence(assets / "anny-head"),
        }

    def load(self, device: str) -> Annotator:
        """Loads it on `cpu` or `cuda`."""
        from facegpt.model.annotator import FaceAnnotator

        return FaceAnnotator.from_pretrained(self.name, device=device)


def _locate(name: str) -> Path:
    if name == "bundled":
        return Path(str(files("facegpt"))) / "assets" / "facegpt-small"
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from facegpt.model.checkpoint import CheckpointError, locate

    try:
        return locate(name)
    except CheckpointError as error:
        raise UsageError(f"model.path: {error}") from error


def card_licence(folder: Path) -> str:
    """The `license:` line of a model card's front matter (README.md), or what to say where there is none."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8").splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    return "not stated in the model's card"
