"""Listing a local folder: sorted by path, one folder in memory at a time, files examined by several threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import UsageError
from pipeline.sources.lists import THREADS
from pipeline.sources.names import is_container, is_image
from pipeline.sources.prefetch import iter_chunks, map_ordered
from pipeline.sources.ranges import stat_or_missing
from pipeline.storage.locations import Entry, local_uri

STAT_CHUNK = 256
"""Files that a thread examines by one call."""


def list_folder(folder: str, exclude: str | None = None) -> Iterator[Entry | None]:
    """Yields the images and containers below `folder` but not below `exclude`, by path; None for every other file.

    Raises:
        UsageError: a folder cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for paths in _walk(folder, exclude):
            chunks = iter_chunks(paths, STAT_CHUNK)
            for chunk in map_ordered(pool, _stat, chunks) if len(paths) > STAT_CHUNK else map(_stat, chunks):
                yield from chunk


def _stat(paths: list[str | None]) -> list[Entry | None]:
    """Examines files; None stays None."""
    return [None if path is None else stat_or_missing(local_uri(path)) for path in paths]


def _walk(folder: str, exclude: str | None) -> Iterator[list[str | None]]:
    """Yields the files between two subfolders as one list; None for a file that is neither image nor container."""
    files: list[str | None] = []
    for name in _sorted_names(folder):
        path = os.path.join(folder, name.rstrip("/"))
        if not name.endswith("/"):
            files.append(path if is_image(name) or is_container(name) else None)
        elif local_uri(path) != exclude:
            yield files
            files = []
            yield from _walk(path, exclude)
    yield files


def _sorted_names(folder: str) -> list[str]:
    """Lists the names in a folder in the order of whole paths, for which a subfolder's name ends in a slash."""
    try:
        with os.scandir(folder) as items:
            kinds = ((item.name, _kind(item)) for item in items)
            return sorted(f"{name}/" if kind == "folder" else name for name, kind in kinds if kind)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from None


def _kind(item: os.DirEntry[str]) -> str:
    """Returns "file" or "folder", or "" for a link to a folder, which may lead back here (as os.walk does).

    A link to nowhere is a file, which fails when it is fetched.
    """
    try:
        is_folder = item.is_dir()
    except OSError:
        return "file"
    return ("" if item.is_symlink() else "folder") if is_folder else "file"
