"""What decides the rows of an output: configuration, detector, model and the version of the rows, as hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from facegpt.photo.detectors.registry import detector_fingerprint
from pipeline.config import RunConfig
from pipeline.errors import UsageError

ROWS_VERSION = "1"
"""Raised whenever the same image, settings and weights give other rows: other in more than the last digits (a
coefficient by some 1e-4), in which machines differ, too. `tests/pipeline/run/test_rows_version.py` names
the sources that decide rows, and fails when one of them changes without a word on it.
"""
FORMER_CODE = {"b48a519d1181f32b": "1"}
"""Versions of the rows of outputs that were written when a hash over the sources stood in the place of a version."""

PARTS = {
    "config": "the configuration (decode or output)",
    "detector": "the detector, its settings or its weights",
    "model": "the model or its face model",
    "code": "what facegpt makes of a photo",
}
WAY_OUT = "choose a new OUTPUT, or --replace to delete what it holds and start again"


def fingerprints(config: RunConfig, model_digest: str) -> dict[str, str]:
    """Hashes what decides the rows, by part. The model's digest covers its configuration, which names the face model by
    sha256.

    Raises:
        facegpt.photo.detectors.DetectorError: the detector is unknown or has no weights.
    """
    return {
        "config": _hash(config.deciding()),
        "detector": detector_fingerprint(config.detector),
        "model": model_digest,
        "code": ROWS_VERSION,
    }


def check_same(record: dict[str, Any], parts: dict[str, str], where: str, way_out: str = WAY_OUT) -> None:
    """Raises UsageError, naming what changed, if the output was made by something that would give other rows."""
    before = record["fingerprints"]
    code = before.get("code", "")
    before = {**before, "code": FORMER_CODE.get(code, code)}
    changed = [PARTS[name] for name, value in parts.items() if before.get(name) != value]
    if changed:
        used = record.get("config", {}).get("detector", {}).get("name")
        hint = f" (it was made with --detector {used})" if used and PARTS["detector"] in changed else ""
        raise UsageError(
            f"OUTPUT {where} was made with other settings: {', '.join(changed)} changed since{hint}. Rows of both "
            f"would be mixed: {way_out}"
        )


def combined(parts: dict[str, str]) -> str:
    """Makes the one fingerprint of an output that starts now; afterwards run.json says it."""
    return _hash(parts)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
