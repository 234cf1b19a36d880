"""Walking a folder: sorted by path, one folder in memory at a time, files examined by several threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import UsageError
from pipeline.sources.ahead import chunks, mapped
from pipeline.sources.lists import THREADS, examined
from pipeline.sources.names import is_container, is_image
from pipeline.storage.locations import Entry, from_local

BATCH = 256


def walked(folder: str, inside: str | None = None) -> Iterator[Entry | None]:
    """The images and containers below `folder` but not below `inside`, by path; None for every other file.

    Raises:
        UsageError: a folder cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for found in _paths(folder, inside):
            batches = chunks(found, BATCH)
            for batch in mapped(pool, _examine, batches) if len(found) > BATCH else map(_examine, batches):
                yield from batch


def _examine(paths: list[str | None]) -> list[Entry | None]:
    return [None if path is None else examined(from_local(path)) for path in paths]


def _paths(folder: str, inside: str | None) -> Iterator[list[str | None]]:
    """Files between two subfolders come as one list; None stands for a file that is neither image nor container."""
    files: list[str | None] = []
    for name in _sorted_names(folder):
        path = os.path.join(folder, name.rstrip("/"))
        if not name.endswith("/"):
            files.append(path if is_image(name) or is_container(name) else None)
        elif from_local(path) != inside:
            yield files
            files = []
            yield from _paths(path, inside)
    yield files


def _sorted_names(folder: str) -> list[str]:
    """The names in a folder in the order of whole paths, for which a subfolder's ends in a slash."""
    try:
        with os.scandir(folder) as found:
            named = ((item.name, _kind(item)) for item in found)
            return sorted(f"{name}/" if kind == "folder" else name for name, kind in named if kind)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from None


def _kind(item: os.DirEntry[str]) -> str:
    """A link to a folder is nothing, as for os.walk: it may lead back here. A link to nowhere is a file that fails."""
    try:
        folder = item.is_dir()
    except OSError:
        return "file"
    return ("" if item.is_symlink() else "folder") if folder else "file"
