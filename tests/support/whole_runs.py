"""Whole runs of `annotate` in shards of two images, and what `verify` says of their outputs."""

from __future__ import annotations

from pathlib import Path

from fake_model import FakeSource
from images import encoded
from photo_files import collect_photos
from PIL import Image

from pipeline.annotate.model_source import ModelSource
from pipeline.config import load_config
from pipeline.output.run_json import existing_run
from pipeline.run.annotate import annotate
from pipeline.run.work import RunSummary
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import Verdict, verify

SMALL_SHARDS = ["shards.min_images=2", "shards.max_images=2", "workers.detect=1", "workers.annotate=1"]
STAND_IN = FakeSource()


def five_images(folder: Path) -> Path:
    """`folder/photos`: a group of six faces, a close-up, two images without faces, and a text."""
    everything, photos = folder / "all", folder / "photos"
    collect_photos(everything)
    (photos / "deep").mkdir(parents=True)
    for name in ("group.jpg", "close-up.png", "cat.png"):
        (photos / "deep" / name).write_bytes((everything / name).read_bytes())
    (photos / "black.png").write_bytes(encoded(Image.new("RGB", (64, 64))))
    (photos / "text.jpg").write_bytes(b"no image at all")
    return photos


def run(
    photos: Path | str,
    output: Path | str,
    *overrides: str,
    source: ModelSource | None = STAND_IN,
    limit: int | None = None,
    replace: bool = False,
) -> tuple[RunSummary, list[str]]:
    """Annotates with the settings `overrides`; gives the summary and the lines that were said.

    `source`: None is the bundled model.
    """
    said: list[str] = []
    config = load_config(None, [*SMALL_SHARDS, *overrides])
    summary = annotate(
        str(photos), str(output), config, source=source, limit=limit, replace=replace, say=said.append
    )
    return summary, said


def checked(output: Path | str) -> Verdict:
    """What `facegpt verify` finds."""
    storage = Storage(str(output))
    return verify(storage, str(existing_run(storage)["fingerprint"]))
