"""What drills disturb: a corpus, how the command treats it, and what comes out where nothing happens."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from drills.job import Job, commits
from pipeline.sources.samples import LIST, collect

NULL = ("--model", "null", "--detector", "null")
BUNDLED = ("--model", "bundled", "--detector", "dlib")


@dataclass(frozen=True)
class Scene:
    """A corpus, the command's options for it, the output of a run on it that nothing disturbed, and how long that took
    in seconds.
    """

    name: str
    photos: Path
    options: tuple[str, ...]
    reference: Path
    seconds: float

    @cached_property
    def shards(self) -> int:
        return commits(self.reference)

    @cached_property
    def pace(self) -> float:
        """Seconds from one commit to the next."""
        times = [path.stat().st_mtime for path in (self.reference / "commits").iterdir()]
        return (max(times) - min(times)) / (len(times) - 1)


def null_scene(folder: Path, images: int, shard: int = 12) -> Scene:
    """Many small images, and models that do nothing."""
    return _played("null", make_corpus(folder / "photos", images), (*NULL, *_shards_of(shard)), folder)


def bundled_scene(folder: Path) -> Scene:
    """The sample photos and mirrored ones beside them, in shards of two, with the detector and the model that come with
    facegpt.
    """
    photos = folder / "photos"
    for sample in collect(photos):
        with Image.open(photos / sample.name) as photo:
            mirrored = ImageOps.mirror(photo.convert("RGB"))
        mirrored.save(photos / f"{Path(sample.name).stem}-mirrored.png")
    (photos / LIST).unlink()
    return _played("bundled", photos, (*BUNDLED, *_shards_of(2)), folder)


def _shards_of(images: int) -> tuple[str, ...]:
    return "--set", f"shards.max_images={images}", "--set", f"shards.min_images={images}"


def _played(name: str, photos: Path, options: tuple[str, ...], folder: Path) -> Scene:
    start = time.monotonic()
    code, printed = Job(photos, folder / "reference", options).start().finish()
    if code:
        raise RuntimeError(f"the undisturbed run ended with {code}:\n{printed}")
    return Scene(name, photos, options, folder / "reference", time.monotonic() - start)


def make_corpus(folder: Path, images: int) -> Path:
    """`images` small files: pictures that all differ, and every tenth broken."""
    folder.mkdir(parents=True)
    for index in range(images):
        path = folder / f"{index // 50:02}" / f"{index:04}.png"
        path.parent.mkdir(exist_ok=True)
        if index % 10 == 9:
            path.write_bytes(b"broken %d" % index)
        else:
            colour = (index % 251, index * 7 % 251, index // 251)
            data = io.BytesIO()
            Image.new("RGB", (64 + index % 7, 64), colour).save(data, "PNG")
            path.write_bytes(data.getvalue())
    return folder
