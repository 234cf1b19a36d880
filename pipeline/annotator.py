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

if TYPE_CHECKING:
    from facegpt.model.annotator import FaceAnnotation

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
    """A FaceGPT checkpoint in a folder of this machine, or the bundled one. Loading it is left to the worker.

    Raises (when made):
        UsageError: there is no checkpoint at the path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = bundled_folder() if path == "bundled" else Path(path).expanduser()
        if not (self.folder / "config.json").is_file():
            raise UsageError(f"no FaceGPT checkpoint at {self.folder} (model.path): it has no config.json")
        self._config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    @property
    def crop_size(self) -> int:
        return int(self._config["crop_size"])

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the checkpoint's files, without loading any."""
        digest = hashlib.sha256()
        for file in sorted(self.folder.iterdir()):
            if file.suffix in (".json", ".safetensors", ".model", ".txt", ".jinja"):
                digest.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    @property
    def licences(self) -> dict[str, str]:
        return {f"model {self.path}": card_licence(self.folder)}

    def load(self, device: str) -> Annotator:
        from facegpt.model.annotator import FaceAnnotator

        return FaceAnnotator.from_pretrained(self.path, device=device)


def bundled_folder() -> Path:
    """Where the checkpoint lies that ships with the package."""
    return Path(str(files("facegpt"))) / "assets" / "facegpt-small"


def card_licence(folder: Path) -> str:
    """The `license:` line of a model card's front matter (README.md), or what to say where there is none."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8").splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    return "not stated in the model's card"
