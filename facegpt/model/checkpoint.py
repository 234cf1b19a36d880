"""Finds and loads FaceGPT checkpoints: the bundled one, a local folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import nn
from transformers.utils import logging

from facegpt.bundled import BUNDLED, BUNDLED_CHECKPOINT
from facegpt.memory import available, gib, is_out_of_memory, weight_bytes
from facegpt.model.backbones.processor import BackboneProcessor, load_processor
from facegpt.model.digest import digest
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.model.processing import FILE, FaceGptProcessor, FaceProcessor

MORE_MEMORY = (
    "end other programs, load it in fewer processes at a time (--set workers.annotate=1 in a run), or take a machine "
    f"with more; '{BUNDLED}' needs 0.1 GiB"
)


LONG_LOAD = 2**30
"""Bytes of weights from which on the progress of loading is worth a line."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be had, with the way out in its one-line message."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model in evaluation mode, its processor, and the sha256 over its files."""

    model: FaceGptForConditionalGeneration
    processor: FaceProcessor
    digest: str


def locate(name: str, what: str = "checkpoint", way_out: str = f"'{BUNDLED}' needs no network") -> Path:
    """Folder of checkpoint `name`; downloads hub names. Raises CheckpointError if there is none, which names `what` was
    wanted and the `way_out`.
    """
    if name == BUNDLED:
        return BUNDLED_CHECKPOINT
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise CheckpointError(
            f"no {what} folder at {name}: give a folder or a hub name owner/model; {way_out}"
        )
    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{what} {name} is neither a folder nor could it be downloaded ({reason}); {way_out}"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def read_processor(folder: Path) -> FaceProcessor:
    """The processor that a checkpoint was saved with, the small FaceGPT's or one around its backbone's.

    Raises:
        FileNotFoundError: the folder is no FaceGPT checkpoint.
        BackboneError: the backbone's own processor does not load.
    """
    settings = _settings(folder)
    if not settings.get("backbone"):
        return FaceGptProcessor.from_pretrained(folder)
    return BackboneProcessor(load_processor(folder), str(settings["instruction"]), int(settings["crop_size"]))


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def load(name: str = BUNDLED, device: str = "cpu") -> Checkpoint:
    """Loads a checkpoint on `device`, in float32; on a GPU one over somebody else's backbone in bfloat16, all but its
    face head.

    Raises:
        CheckpointError: it is missing, something else, or larger than the memory.
    """
    folder = locate(name)
    half = device != "cpu" and _settings(folder).get("backbone")
    dtype = torch.bfloat16 if half else torch.float32
    needed, free = weight_bytes(folder.glob("*.safetensors"), dtype.itemsize), available()
    if free is not None and needed > free:
        raise CheckpointError(
            f"checkpoint {name} needs {gib(needed)} of memory to load, and {gib(free)} are free: {MORE_MEMORY}"
        )
    try:
        processor = read_processor(folder)
        with nullcontext() if needed > LONG_LOAD else _without_bars():
            model = FaceGptForConditionalGeneration.from_pretrained(str(folder), dtype=dtype)
        module: nn.Module = model
        module.to(device).eval()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{folder} is not a FaceGPT checkpoint: {reason}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"not enough memory on {device} to load checkpoint {name}: {MORE_MEMORY}"
        ) from error
    return Checkpoint(model, processor, digest(folder))
