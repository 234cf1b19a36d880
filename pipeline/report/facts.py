"""The lines of a run's record that a person reads first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facegpt.photo.config import NULL
from pipeline.annotate.null_model import CAPTION
from pipeline.config import RunConfig
from schemas import Provenance

INVOCATIONS_SHOWN = 5


def facts(record: Mapping[str, Any], provenance: Provenance | None) -> list[tuple[str, str]]:
    """Names and values in reading order, from run.json and the header of the tables."""
    config = record["config"]
    lines = [("Notice", record["notice"])] if "notice" in record else []
    lines += [("Model", _model(config, provenance))]
    if provenance is not None:
        lines += [
            (
                "Face model",
                f"{provenance.face_model_id} · {provenance.n_shape} shape, {provenance.n_expression} expression and "
                f"{provenance.n_albedo} albedo modes · sha256 {provenance.face_model_sha256[:12]}",
            ),
            ("Detector", f"{provenance.detector} · fingerprint {provenance.detector_fingerprint[:12]}"),
        ]
    runs = [_invocation(one) for one in record["invocations"][-INVOCATIONS_SHOWN:]]
    changed = list(_changed(RunConfig().model_dump(mode="json"), config))
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


def _model(config: Mapping[str, Any], provenance: Provenance | None) -> str:
    path = config["model"]["path"]
    if path == NULL:
        return provenance.model_digest if provenance else CAPTION
    name = "FaceGPT, the bundled checkpoint" if path == "bundled" else f"FaceGPT, {path}"
    return f"{name} · sha256 {provenance.model_digest[:12]}" if provenance else name


def _invocation(one: Mapping[str, Any]) -> str:
    seconds = float(one["seconds"])
    speed = f", {one['images'] / seconds:.1f} images/s" if seconds > 0 else ""
    device = one["workers"]["device"]
    return (
        f"{one['started']}: {one['images']:,} images and {one['faces']:,} faces from {one['input']} "
        f"in {seconds:,.1f} s{speed}, on {device}"
    )


def _changed(default: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        usual = default.get(key)
        if isinstance(value, dict) and isinstance(usual, dict):
            yield from _changed(usual, value, f"{prefix}{key}.")
        elif value != usual:
            yield f"{prefix}{key} = {value}"
