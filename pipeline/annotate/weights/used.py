"""The weights that a run uses: recognised by what the registry knows, or else by what their own card or header says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from facegpt.model.digest import file_sha256
from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors.base import DetectorError
from facegpt.photo.detectors.registry import detector_class
from pipeline.annotate.weights.registry import Kind, Weight, by_files, by_id, by_name
from pipeline.errors import UsageError

UNKNOWN = "unknown"
PERMITTING = frozenset(
    (
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc-by-4.0",
        "cc0-1.0",
        "isc",
        "mit",
        "unlicense",
    )
)
"""Licences by SPDX identifier that permit commercial use without further conditions on who uses it."""
WAYS_OUT: dict[Kind, str] = {
    "detector": "--detector dlib is one that may be used",
    "model": "--model bundled may be used; a checkpoint of yours says its licence in its folder's README.md, in a line "
    "such as `license: apache-2.0`",
    "face model": "--face-model bundled may be used, with a checkpoint that was trained on it",
}


@dataclass(frozen=True)
class UsedWeight:
    """Weights that were loaded, as run.json lists them: `sha256` by file name, `commercial` None where unknown."""

    kind: Kind
    name: str
    source: str
    sha256: Mapping[str, str]
    licence: str
    commercial: bool | None


def used_model(name: str, folder: Path, sha256: Mapping[str, str]) -> UsedWeight:
    """Recognises the checkpoint `name` in `folder`, whose weights' files have these hashes."""
    stated = _as_stated("model", name, name, sha256, stated_licence(folder))
    return _as_registered(by_files("model", sha256.values()), stated)


def used_face_model(path: Path, sha256: str) -> UsedWeight:
    """Recognises a stored face model with this sha256; raises UsageError if the file is something else."""
    try:
        with safe_open(str(path), "numpy") as file:
            header: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"{path} is no face model of this project ({error}); `facegpt import-face-model` makes one"
        ) from None
    licence = header.get("licence") or None
    registered = by_files("face model", [sha256])
    if registered is None:
        named = by_id(header.get("id", ""))
        # Who wrote another licence into the header than the one that the id stands for, meant the licence.
        registered = named if named is not None and licence in (None, named.licence) else None
    stated = _as_stated("face model", header.get("id", path.name), str(path), {path.name: sha256}, licence)
    return _as_registered(registered, stated)


def used_detector(config: DetectorConfig) -> UsedWeight:
    """Recognises the detector's weights; raises facegpt.photo.detectors.DetectorError if there are none."""
    sha256 = {}
    for path in detector_class(config.name).weight_files(config):
        try:
            sha256[path.name] = file_sha256(path)
        except OSError as error:
            raise DetectorError(f"detector {config.name!r} cannot read {path}: {error.strerror}") from error
    registered = by_files("detector", sha256.values()) if sha256 else by_name("detector", config.name)
    name = config.name if config.model is None else f"{config.name} {Path(config.model).name}"
    stated = _as_stated("detector", name, config.model or config.name, sha256, None)
    return _as_registered(registered, stated)


def used_null(kind: Kind) -> UsedWeight:
    """Names what the dry mode loads in place of weights."""
    return _as_registered(by_name(kind, "null"), _as_stated(kind, "null", "null", {}, None))


def _as_stated(
    kind: Kind, name: str, source: str, sha256: Mapping[str, str], licence: str | None
) -> UsedWeight:
    return UsedWeight(
        kind=kind,
        name=name,
        source=source,
        sha256=dict(sha256),
        licence=licence or UNKNOWN,
        commercial=permits(licence),
    )


def _as_registered(weight: Weight | None, stated: UsedWeight) -> UsedWeight:
    """Corrects what the weights say of themselves by what the registry says, if they stand in it."""
    if weight is None:
        return stated
    return replace(
        stated,
        name=weight.name,
        source=weight.source,
        licence=weight.licence,
        commercial=weight.commercial,
    )


def stated_licence(folder: Path) -> str | None:
    """Reads the `license:` line of a model card's front matter (README.md); None if there is none."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("'\"") or None
    return None


def permits(licence: str | None) -> bool | None:
    """Tells whether a licence that somebody states permits commercial use, as far as its SPDX identifier tells."""
    identifier = (licence or "").lower()
    if identifier in PERMITTING:
        return True
    return False if identifier.startswith("cc-by-nc") else None


def listed(weights: Iterable[UsedWeight]) -> list[dict[str, Any]]:
    """Gives the weights as run.json lists them."""
    return [asdict(weight) for weight in weights]


def require_commercial(weights: Iterable[UsedWeight]) -> None:
    """Raises UsageError if some are not known to permit commercial use; it names each of them, and the way out."""
    refused = [weight for weight in weights if weight.commercial is not True]
    if refused:
        named = "; ".join(f"{_phrase(asdict(weight))}: {WAYS_OUT[weight.kind]}" for weight in refused)
        raise UsageError(f"licences.commercial_only (--commercial-only) refuses {named}")


def restricted(record: Mapping[str, Any]) -> list[str]:
    """Tells what run.json says of weights that may not be used commercially, or of which that is not known."""
    if "weights" not in record:
        return ["run.json does not list the weights that were used"]
    return [
        f"{'commercial use unknown' if weight['commercial'] is None else 'no commercial use'}: {_phrase(weight)}"
        for weight in record["weights"]
        if weight["commercial"] is not True
    ]


def _phrase(weight: Mapping[str, Any]) -> str:
    licence = "licence unknown" if weight["licence"] == UNKNOWN else weight["licence"]
    return f"{weight['kind']} {weight['name']} ({licence})"
