"""What a run is made of: model, weights, fingerprints, record."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from facegpt.photo.config import NULL
from facegpt.photo.detectors import DetectorError, create_detector
from facegpt.photo.detectors.registry import detector_class
from pipeline.annotate.model_source import AnnotatorSource, Checkpoint
from pipeline.annotate.null_model import NullSource, notice
from pipeline.annotate.weights.used import UsedWeight, listed, require_commercial, used_detector
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.output.run_json import FORMAT, now
from pipeline.run.fingerprint import combined, fingerprints
from schemas import SCHEMA_VERSION

PACKAGES = (
    "facegpt",
    "torch",
    "transformers",
    "ray",
    "pyarrow",
    "pillow",
    "opencv-python-headless",
    "dlib-bin",
    "insightface",
    "onnxruntime",
    "trimesh",
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result may depend on; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def weights_of(config: RunConfig, source: AnnotatorSource) -> Sequence[UsedWeight]:
    """The weights that a run would load: model, face model and detector.

    Raises:
        UsageError: the detector has none, or the face model is something else.
    """
    try:
        return *source.weights, used_detector(config.detector)
    except DetectorError as error:
        raise UsageError(str(error)) from error


def new_record(config: RunConfig, source: AnnotatorSource, parts: dict[str, str]) -> dict[str, Any]:
    """The record of an output that starts now; raises UsageError as `weights_of` does."""
    weights = weights_of(config, source)
    dry = notice(config.model_dump())
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "created": now(),
        **({"notice": dry} if dry else {}),
        "fingerprint": combined(parts),
        "fingerprints": parts,
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "licences": {f"{weight.kind} {weight.name}": weight.licence for weight in weights},
        "weights": listed(weights),
        "invocations": [],
    }


def model_of(config: RunConfig) -> AnnotatorSource:
    """The model that a configuration names, not loaded yet; raises UsageError if there is none."""
    if config.model.path == NULL:
        return NullSource()
    return Checkpoint(config.model.path, config.model.face_model)


def check_licences(config: RunConfig, source: AnnotatorSource) -> None:
    """Raises UsageError if the configuration wants commercial use, and a weight is not known to permit it."""
    if config.licences.commercial_only:
        require_commercial(weights_of(config, source))


def fingerprints_of(config: RunConfig, source: AnnotatorSource) -> dict[str, str]:
    """What decides the rows of a run, by part; raises UsageError if the detector cannot work."""
    try:
        detector_class(config.detector.name).check_device(config.detector.device)
        # The head of a cluster need not have the workers' GPU.
        create_detector(config.detector.model_copy(update={"device": "cpu"}))
        return fingerprints(config, source.digest)
    except DetectorError as error:
        raise UsageError(str(error)) from error
