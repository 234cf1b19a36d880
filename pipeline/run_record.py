"""run.json: what an output was made with, and when."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.annotator import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.detectors import DetectorError
from pipeline.errors import UsageError
from pipeline.fingerprint import combined
from pipeline.null import notice
from pipeline.storage import Storage
from pipeline.weights.used import UsedWeight, listed, used_detector
from schemas import SCHEMA_VERSION

KEY = "run.json"
FORMAT = "facegpt-run"
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
PARTS = {
    "config": "the configuration (decode or output)",
    "detector": "the detector, its settings or its weights",
    "model": "the model or its face model",
    "code": "the code of facegpt",
}
SAID: dict[str, type] = {
    "fingerprint": str,
    "fingerprints": dict,
    "config": dict,
    "versions": dict,
    "licences": dict,
    "invocations": list,
}
"""What every record says."""
OWN = ("manifest/", "images/", "faces/", "meshes/", "commits/", "report/")
"""The folders of what is made from the input. Tombstones are not among them: they outlive even `--replace`."""


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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


def read_record(storage: Storage, any_version: bool = False) -> dict[str, Any] | None:
    """The record of the run at `storage`; None where there is nothing yet.

    Args:
        storage: of the output.
        any_version: also take a record of another schema version, or one that lacks something (to delete it).

    Raises:
        UsageError: something else is stored there, it is damaged, or it cannot be reached.
    """
    try:
        if storage.is_file():
            raise UsageError(f"OUTPUT {storage.root} is a file, not a folder")
        data = storage.read(KEY) if storage.exists(KEY) else None
        if data is None:
            if not storage.is_empty():
                raise UsageError(
                    f"OUTPUT {storage.root} holds something else (files, but no {KEY}): choose a new or empty folder"
                )
            return None
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(f"cannot reach OUTPUT {storage.root}: {' '.join(str(error).split())}") from error
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UsageError(
            f"OUTPUT {storage.root} holds something else: its {KEY} is not of facegpt, or damaged. Choose a new or "
            f"empty folder, or put {KEY} back as it was"
        )
    if record.get("schema_version") != SCHEMA_VERSION and not any_version:
        raise UsageError(
            f"OUTPUT {storage.root} has schema version {record.get('schema_version')}, this facegpt writes "
            f"{SCHEMA_VERSION}: choose a new OUTPUT, or --replace"
        )
    missing = sorted(name for name, kind in SAID.items() if not isinstance(record.get(name), kind))
    if missing and not any_version:
        raise UsageError(
            f"OUTPUT {storage.root} is damaged: its {KEY} does not say its {', '.join(missing)}. Put it back as it "
            "was, choose a new OUTPUT, or --replace"
        )
    return record


WAY_OUT = "choose a new OUTPUT, or --replace to delete what it holds and start again"


def check_same(record: dict[str, Any], parts: dict[str, str], where: str, way_out: str = WAY_OUT) -> None:
    """Raises UsageError, naming what changed, if the output was made by something that would give other rows."""
    old = record["fingerprints"]
    changed = [PARTS.get(name, name) for name in parts if old.get(name) != parts[name]]
    if changed:
        raise UsageError(
            f"OUTPUT {where} was made with other settings: {', '.join(changed)} changed since. Rows of both would be "
            f"mixed: {way_out}"
        )


def write_record(storage: Storage, record: dict[str, Any]) -> None:
    """Stores run.json."""
    storage.write(KEY, json.dumps(record, indent=1).encode())


def own_keys(storage: Storage) -> Iterable[str]:
    """Everything that runs wrote into an output, but for run.json, which says whose place this is."""
    return [key for key in storage.keys() if key.startswith(OWN)]


def existing_run(storage: Storage) -> dict[str, Any]:
    """The record of a run that must be there; raises UsageError if there is none at `storage`."""
    record = read_record(storage)
    if record is None:
        raise UsageError(f"there is no run at {storage.root}")
    return record
