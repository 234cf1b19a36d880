"""Sample photos: real photos that installed packages carry, so that a first run needs no download."""

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
    """Photo in an installed package: the neutral name it gets, package, path in it (a pattern), origin and licence."""

    name: str
    package: str
    path: str
    origin: str
    licence: str


UNSTATED = "insightface package (code: MIT); the photo's own origin and licence are not stated there"
SAMPLES = (
    Sample(
        "portrait-spacesuit.png",
        "skimage",
        "data/astronaut.png",
        "NASA Great Images database, through scikit-image",
        "public domain",
    ),
    Sample("photographer.png", "skimage", "data/camera.png", "scikit-image", "CC0"),
    Sample("coffee.png", "skimage", "data/coffee.png", "Pikolo Espresso Bar, through scikit-image", "CC0"),
    Sample("cat.png", "skimage", "data/chelsea.png", "scikit-image", "CC0"),
    Sample("group.jpg", "insightface", "data/images/t1.jpg", "insightface", UNSTATED),
    Sample("close-up.png", "insightface", "data/images/*_54745.png", "insightface", UNSTATED),
    Sample("mask-black.jpg", "insightface", "data/images/mask_black.jpg", "insightface", UNSTATED),
    Sample("mask-blue.jpg", "insightface", "data/images/mask_blue.jpg", "insightface", UNSTATED),
    Sample("mask-green.jpg", "insightface", "data/images/mask_green.jpg", "insightface", UNSTATED),
    Sample("mask-white.jpg", "insightface", "data/images/mask_white.jpg", "insightface", UNSTATED),
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
            raise UsageError(
                "no sample photo found: neither scikit-image nor insightface carries them any more"
            )
        _write(folder / LIST, _origins(copied).encode())
    except OSError as error:
        raise UsageError(f"cannot write the samples to {folder}: {error.strerror}") from error
    return copied


def _locate(sample: Sample) -> Path | None:
    """Finds a sample's file without importing its package, which takes seconds for some; None where it is not."""
    spec = find_spec(sample.package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).glob(sample.path)):
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
