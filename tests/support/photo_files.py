"""Photos for tests: the sample photos, and three more that packages carry, for measuring only."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pipeline.sources.samples import collect

# The first two say nothing of their licence, so they are no samples: they are read where they are installed.
MORE = {
    "group.jpg": ("insightface", "data/images/t1.jpg"),  # six faces
    "close-up.png": ("insightface", "data/images/*_54745.png"),  # one face, 112 x 112
    "cat.png": ("skimage", "data/chelsea.png"),  # CC0
}


def collect_photos(folder: Path) -> None:
    """Copies the sample photos, their list and `MORE` into `folder`."""
    collect(folder)
    for name, (package, pattern) in MORE.items():
        spec = find_spec(package)
        (root,) = (spec.submodule_search_locations or []) if spec else []
        (source,) = Path(root).glob(pattern)
        (folder / name).write_bytes(source.read_bytes())
