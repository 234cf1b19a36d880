"""Facts of a run for the report: model, detector, configuration, runs, licences, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facegpt.photo.config import NULL
from pipeline.annotate.null_model import CAPTION
from pipeline.config import RunConfig
from schemas import Provenance

INVOCATIONS_SHOWN = 5


def run_facts(record: Mapping[str, Any], provenance: Provenance | None) -> list[tuple[str, str]]:
    """Lists names and values in reading order, from the run record and the provenance of its tables."""
    config = record["config"]
    lines = [("Notice", record["notice"])] if "notice" in record else []
    lines += [("Model", _model_line(config, provenance))]
    if provenance is not None:
        lines += [
            (
                "Face model",
                f"{provenance.face_model_id} · {provenance.n_shape} shape, {provenance.n_expression} expression and "
                f"{provenance.n_albedo} albedo modes · sha256 {provenance.face_model_sha256[:12]}",
            ),
            ("Detector", f"{provenance.detector} · fingerprint {provenance.detector_fingerprint[:12]}"),
        ]
    runs = [_invocation_line(invocation) for invocation in record["invocations"][-INVOCATIONS_SHOWN:]]
    changed = list(_changed_settings(RunConfig().model_dump(mode="json"), config))
    lines += [
        ("Configuration", "\n".join(changed) if changed else "all defaults"),
        (
            "Runs",
            "\n".join(runs) or "not finished yet",
        ),
        ("Licences", "\n".join(f"{what}: {licence}" for what, licence in record["licences"].items())),
        ("Versions", " · ".join(f"{package} {number}" for package, number in record["versions"].items())),
        ("Fingerprint", f"{record['fingerprint']} · schema version {record['schema_version']}"),
    ]
    return lines


def _model_line(config: Mapping[str, Any], provenance: Provenance | None) -> str:
    """Describes the model; of the dry run's null model by its digest or caption."""
    path = config["model"]["path"]
    if path == NULL:
        return provenance.model_digest if provenance else CAPTION
    name = "FaceGPT, the bundled checkpoint" if path == "bundled" else f"FaceGPT, {path}"
    return f"{name} · sha256 {provenance.model_digest[:12]}" if provenance else name


def _invocation_line(invocation: Mapping[str, Any]) -> str:
    """Describes one run: start, counts, duration, speed and device."""
    seconds = float(invocation["seconds"])
    speed = f", {invocation['images'] / seconds:.1f} images/s" if seconds > 0 else ""
    device = invocation["workers"]["device"]
    return (
        f"{invocation['started']}: {invocation['images']:,} images and {invocation['faces']:,} faces "
        f"from {invocation['input']} in {seconds:,.1f} s{speed}, on {device}"
    )


def _changed_settings(
    default: Mapping[str, Any], values: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """Yields `key = value` for the settings that differ from their default, with dots between nested keys."""
    for key, value in values.items():
        default_value = default.get(key)
        if isinstance(value, dict) and isinstance(default_value, dict):
            yield from _changed_settings(default_value, value, f"{prefix}{key}.")
        elif value != default_value:
            yield f"{prefix}{key} = {value}"
