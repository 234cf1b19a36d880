"""What decides the rows of an output: configuration, detector, model and code, as hashes."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from pipeline.config import RunConfig
from pipeline.detectors.registry import detector_fingerprint

CODE = (
    ("facegpt", ("model", "morphable", "rendering", "evaluation/geometry.py", "training/text")),
    ("pipeline", ("annotate.py", "crop.py", "decode.py", "detect.py", "detectors", "meshes.py", "null.py")),
    ("pipeline", ("sources/fetch.py", "sources/parquet.py")),
    ("schemas", ("",)),
)
"""The modules that a row's values come from."""


def fingerprints(config: RunConfig, model_digest: str) -> dict[str, str]:
    """Hashes by part. The model's digest covers its configuration, which names the face model by sha256.

    Raises:
        pipeline.detectors.DetectorError: the detector is unknown or has no weights.
    """
    return {
        "config": _hash(config.deciding()),
        "detector": detector_fingerprint(config.detector),
        "model": model_digest,
        "code": code_digest(),
    }


def combined(parts: dict[str, str]) -> str:
    """The one fingerprint of a run."""
    return _hash(parts)


@cache
def code_digest() -> str:
    """Hash over the sources that decide a row's values."""
    digest = hashlib.sha256()
    for package, names in CODE:
        for name in names:
            root = files(package)
            _add(digest, root / name if name else root, f"{package}/{name}")
    return digest.hexdigest()[:16]


def _add(digest: Any, place: Traversable, name: str) -> None:
    if place.is_file():
        if name.endswith(".py"):
            digest.update(f"{name} ".encode() + hashlib.sha256(place.read_bytes()).digest())
    elif place.is_dir():
        for inner in sorted(place.iterdir(), key=lambda inner: inner.name):
            if inner.name != "__pycache__":
                _add(digest, inner, f"{name}/{inner.name}")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
