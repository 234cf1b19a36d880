"""A corpus of any number of images over a few real files: hard links on disk, objects in a bucket."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from PIL import Image

from pipeline.output.meshes import write_tar
from pipeline.sources import is_image
from pipeline.storage.locations import S3, s3
from pipeline.storage.store import Storage

FILES = 40
SIDE = 160
PACKED_SIDE = 64
"""Of images in tars: a million of them fit into a server that keeps them in memory."""
LINKS = 20_000
"""Hard links to one file before it is written anew; file systems allow some ten thousands."""
PER_FOLDER = 1000


def small_photos(side: int = SIDE) -> list[bytes]:
    """`FILES` different JPEGs of `side` px, made from the photos that installed packages carry."""
    from pipeline.sources.samples import collect

    with tempfile.TemporaryDirectory() as folder:
        collect(Path(folder))
        paths = sorted(path for path in Path(folder).iterdir() if is_image(path.name))
        pictures = [Image.open(path).convert("RGB") for path in paths]
    for picture in pictures:
        picture.thumbnail((side, side))
    return [_jpeg(pictures[index % len(pictures)], 60 + index // len(pictures)) for index in range(FILES)]


def key_of(index: int) -> str:
    """Of image `index`, below the corpus: a thousand to a folder."""
    return f"{index // PER_FOLDER:05d}/{index:08d}.jpg"


def make_folder(folder: Path, images: int) -> None:
    """Fills `folder` with `images` images, unless it holds them already (its name says how many)."""
    done = folder.with_name(f"{folder.name}.complete")
    if done.exists():
        return
    photos = small_photos()
    for index in range(images):
        path = folder / key_of(index)
        if index % PER_FOLDER == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        # The first of every `LINKS` uses of a photo is a file, the others are links to it.
        first = folder / key_of(index - index // FILES % LINKS * FILES)
        path.unlink(missing_ok=True)
        if first == path:
            path.write_bytes(photos[index % FILES])
        else:
            os.link(first, path)
    done.touch()


def make_prefix(location: str, images: int) -> None:
    """Uploads `images` objects below an s3:// URL, unless as many are there."""
    if len(Storage(location).keys()) == images:
        return
    photos, base = small_photos(), location[len(S3) :]
    for start in range(0, images, PER_FOLDER):
        part = range(start, min(start + PER_FOLDER, images))
        s3().pipe({f"{base}/{key_of(index)}": photos[index % FILES] for index in part})


def make_tars(location: str, images: int) -> None:
    """Uploads `images` images below an s3:// URL, a thousand to a tar, unless as many tars are there."""
    count = -(-images // PER_FOLDER)
    if len(Storage(location).keys()) == count:
        return
    photos, base = small_photos(PACKED_SIDE), location[len(S3) :]
    for number in range(count):
        part = range(number * PER_FOLDER, min((number + 1) * PER_FOLDER, images))
        packed = write_tar((f"{index:08d}.jpg", photos[index % FILES]) for index in part)
        s3().pipe_file(f"{base}/{number:05d}.tar", packed)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()
