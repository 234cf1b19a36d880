"""The photos of a benchmark: those of a folder, again and again until there are as many as wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.sources import is_image


def photos_in(folder: Path) -> list[Path]:
    """Lists the images below a folder by path; raises SystemExit if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path.name))
    if not found:
        raise SystemExit(f"no photos in {folder}")
    return found


def make_corpus(photos: Sequence[Path], count: int, folder: Path) -> None:
    """Fills `folder` with `count` photos, unless it has just these: all that are given, then them again.

    The first round is of hard links (of copies, across file systems). The rounds after it are copies with their number
    behind the end of the picture, which decoders skip: no two photos have the same content, for equal ones would share
    a mesh in a run, and not in a loop.
    """
    done, names = (
        folder.with_name(f"{folder.name}.complete"),
        "\n".join(str(path.resolve()) for path in photos),
    )
    if done.exists() and done.read_text("utf-8") == names:
        return
    done.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    for index in range(count):
        turn, number = divmod(index, len(photos))
        source = photos[number]
        path = folder / f"{turn:05d}" / f"{number:06d}{source.suffix.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if turn:
            path.write_bytes(source.read_bytes() + turn.to_bytes(8, "big"))
        else:
            _link(source, path)
    done.write_text(names, "utf-8")


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source.resolve(), path)
    except OSError:
        shutil.copyfile(source, path)
