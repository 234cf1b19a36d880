"""Sample photos: free photos that installed packages and our own carry, so that a first run needs no download."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import UsageError

LIST = "ORIGIN.csv"


@dataclass(frozen=True)
class Sample:
    """Photo in an installed package: the neutral name it gets, package, path in it, origin and licence."""

    name: str
    package: str
    path: str
    origin: str
    licence: str


PUBLIC, CC0 = "public domain", "CC0"
SKIMAGE, OWN = "data/", "assets/sample-photos/"
ASTRONAUT = "NASA Great Images database, through scikit-image"
PHOTOGRAPHER = "Lav Varshney, through scikit-image"
OFFICER = "US Navy, NH 96919-KN, through Matplotlib"
SAMPLES = (
    Sample("portrait-spacesuit.png", "skimage", f"{SKIMAGE}astronaut.png", ASTRONAUT, PUBLIC),
    Sample("cap-and-glasses.jpg", "facegpt", f"{OWN}cap-and-glasses.jpg", f"part of: {OFFICER}", PUBLIC),
    Sample("photographer.png", "skimage", f"{SKIMAGE}camera.png", PHOTOGRAPHER, CC0),
    Sample(
        "contact-sheet.jpg",
        "facegpt",
        f"{OWN}contact-sheet.jpg",
        f"parts of three photos: {ASTRONAUT}; {PHOTOGRAPHER}; {OFFICER}",
        f"{PUBLIC}; {CC0}; {PUBLIC}",
    ),
    Sample("cut-by-the-edge.jpg", "facegpt", f"{OWN}cut-by-the-edge.jpg", f"part of: {OFFICER}", PUBLIC),
    Sample(
        "stored-sideways.jpg", "facegpt", f"{OWN}stored-sideways.jpg", f"part of, turned: {OFFICER}", PUBLIC
    ),
    Sample("thumbnail.jpg", "facegpt", f"{OWN}thumbnail.jpg", f"part of, made small: {ASTRONAUT}", PUBLIC),
    Sample("coffee.png", "skimage", f"{SKIMAGE}coffee.png", "Rachel Michetti, through scikit-image", CC0),
)


def collect(folder: Path) -> list[Sample]:
    """Copies the sample photos into `folder`, with a list of their origins and licences.

    Returns:
        The samples that were copied; one that its package no longer carries is left out.

    Raises:
        UsageError: no package carries any, or the folder cannot be written.
    """
    copied = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sample in SAMPLES:
            source = _locate(sample)
            if source is not None:
                _write(folder / sample.name, source.read_bytes())
                copied.append(sample)
        if not copied:
            raise UsageError("no sample photo found: neither scikit-image nor facegpt carries them here")
        _write(folder / LIST, _origins(copied).encode())
    except OSError as error:
        raise UsageError(f"cannot write the samples to {folder}: {error.strerror}") from error
    return copied


def _locate(sample: Sample) -> Path | None:
    """Finds a sample's file without importing its package, which takes seconds for some; None where it is not."""
    spec = find_spec(sample.package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(root, sample.path)).is_file():
            return path
    return None


def _write(path: Path, content: bytes) -> None:
    """Writes a file unless it has this content: a photo that is written again would count as changed."""
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def _origins(samples: list[Sample]) -> str:
    """Formats names, origins and licences as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "package", "path", "origin", "licence"])
    rows.writerows([s.name, s.package, s.path, s.origin, s.licence] for s in samples)
    return text.getvalue()
