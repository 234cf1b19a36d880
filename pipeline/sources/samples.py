"""Real photos that installed packages carry, so that a first run needs no download."""

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
    """A photo: the neutral name that it gets, package and path (or pattern) that it comes from, origin and licence."""

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
        Those that are there; a package that no longer carries a photo leaves it out.

    Raises:
        UsageError: none was found, or the folder cannot be written.
    """
    found = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sample in SAMPLES:
            source = _locate(sample)
            if source is not None:
                _write(folder / sample.name, source.read_bytes())
                found.append(sample)
        if not found:
            raise UsageError(
                "no sample photo found: neither scikit-image nor insightface carries them any more"
            )
        _write(folder / LIST, _origins(found).encode())
    except OSError as error:
        raise UsageError(f"cannot write the samples to {folder}: {error.strerror}") from error
    return found


def _locate(sample: Sample) -> Path | None:
    """Finds the file without importing its package, which takes seconds for some."""
    spec = find_spec(sample.package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).glob(sample.path)):
            return path
    return None


def _write(path: Path, content: bytes) -> None:
    """Leaves a file alone that is as it should be: a photo that is written again counts as changed."""
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def _origins(samples: list[Sample]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "package", "path", "origin", "licence"])
    rows.writerows([s.name, s.package, s.path, s.origin, s.licence] for s in samples)
    return text.getvalue()
