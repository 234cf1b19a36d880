"""Listing any input as a stream of chunks: what kind it is, what lies in it, and what the containers in it hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import pyarrow as pa

from pipeline.errors import UsageError, describe
from pipeline.sources.lists import read_list
from pipeline.sources.local import list_folder
from pipeline.sources.locators import UnreadableLocator, parse_locator, unreadable_entry
from pipeline.sources.names import (
    LIST_EXTENSIONS,
    UNPACK_ADVICE,
    is_compressed_tar,
    is_container,
    is_image,
    is_parquet,
    is_tar,
)
from pipeline.sources.parquet import ColumnError, image_column, list_parquet, open_parquet
from pipeline.sources.prefetch import interleave, iter_chunks
from pipeline.sources.ranges import stat_uri
from pipeline.sources.remote import list_prefix
from pipeline.sources.webdataset import list_tar
from pipeline.storage.locations import Entry, is_s3, local_path, normalize, s3, s3_path

CONTAINERS_AT_ONCE = 8
CONTAINERS_WAITING = 64

IsComplete = Callable[[Entry], bool]


@dataclass
class ListingCounts:
    """Counts of a listing so far: images, other files, containers that were skipped because they are complete.

    `complete`: containers whose images have all been listed; whoever records them takes them from here.
    """

    images: int = 0
    other_files: int = 0
    skipped_containers: int = 0
    complete: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class ContainerEnd:
    """Mark after the last image of a container."""

    container: Entry


Item = Entry | ContainerEnd | None
"""An image, the end of a container, or a file that is neither image nor container."""


class Listing:
    """The images of an input, in chunks, in an order that is the same each time; memory does not grow with it.

    Args:
        location: a folder, an image, a tar, a Parquet file, a list, or an s3:// URL of any of these.
        output: files below it are left out, so that an output inside its input is not its own input.
        limit: only the first images: by path, of a list its first lines. The listing ends with the last of them.
        is_complete: tells of a container whether an earlier run listed it to its end; then it is not opened again.

    Raises:
        UsageError: the input does not exist or cannot be reached. While it is read: it cannot be read further.
    """

    def __init__(
        self,
        location: str,
        output: str | None = None,
        limit: int | None = None,
        is_complete: IsComplete | None = None,
    ) -> None:
        self.location = location
        self.counts = ListingCounts()
        self._limit = limit
        self._is_complete = is_complete if limit is None else None
        self._exclude = normalize(output) if output is not None else None
        self._uri = normalize(location)
        with _as_usage_error(location):
            self._chunks = self._open()

    def __iter__(self) -> Iterator[list[Entry]]:
        with _as_usage_error(self.location), closing(self._chunks):
            for chunk in self._chunks:
                images = [item for item in chunk if isinstance(item, Entry)]
                self.counts.other_files += chunk.count(None)
                if self._limit is None:
                    self.counts.complete += [
                        item.container for item in chunk if isinstance(item, ContainerEnd)
                    ]
                else:
                    images = images[: self._limit - self.counts.images]
                self.counts.images += len(images)
                if images:
                    yield images
                if self.counts.images == self._limit:
                    return
        if not self.counts.images and not self.counts.skipped_containers:
            other_files = self.counts.other_files
            others = f" ({other_files:,} files with other extensions)" if other_files else ""
            raise UsageError(f"no image in {self.location}{others}")

    def _open(self) -> Generator[list[Item], None, None]:
        """Picks the way to list the input by its kind; raises UsageError if there is none."""
        uri = self._uri
        if not self._is_file():
            if is_s3(uri):
                return self._expand(list_prefix(uri, self._exclude, sequential=self._limit is not None))
            return self._expand(iter_chunks(list_folder(local_path(uri), self._exclude)))
        if is_compressed_tar(uri):
            raise UsageError(f"{uri}: {UNPACK_ADVICE}")
        if is_tar(uri):
            return self._list_input_container(stat_uri(uri))
        if is_parquet(uri) and _holds_images(uri):
            return self._list_input_container(stat_uri(uri))
        if uri.lower().endswith(LIST_EXTENSIONS):
            return self._expand(iter_chunks(read_list(uri)))
        if is_image(uri):
            return self._expand([[stat_uri(uri)]])
        raise UsageError(
            f"{uri} is neither an image, nor a .tar, nor a list of images ({', '.join(LIST_EXTENSIONS)})"
        )

    def _is_file(self) -> bool:
        """Tells a file from a folder or prefix; raises UsageError if there is neither."""
        if is_s3(self._uri):
            path = s3_path(self._uri)
            if not s3().exists(path):
                raise UsageError(f"there is nothing at {self._uri}")
            return bool(s3().isfile(path))
        path = local_path(self._uri)
        if not os.path.exists(path):
            raise UsageError(f"there is no file or folder {path}")
        return not os.path.isdir(path)

    def _list_input_container(self, container: Entry) -> Generator[list[Item], None, None]:
        """Lists a container that is the input itself; raises UsageError if it cannot be read from its start."""
        if self._skips(container):
            return
        items = _list_container(container)
        first = next(items, None)
        if isinstance(first, Entry) and first.uri == container.uri:
            locator = parse_locator(first)
            reason = locator.reason if isinstance(locator, UnreadableLocator) else "cannot be read"
            raise UsageError(f"{container.uri}: {reason}")
        yield from iter_chunks(chain([first], items))

    def _expand(self, source: Iterable[list[Entry | None]]) -> Generator[list[Item], None, None]:
        """Replaces containers by what they hold: in their place under a limit, else several at once, behind others."""
        if self._limit is not None:
            for entry in chain.from_iterable(source):
                if entry and _is_readable_container(entry):
                    yield from iter_chunks(_list_container(entry))
                else:
                    yield [entry]
            return
        waiting: list[Entry] = []
        for chunk in source:
            containers = [entry for entry in chunk if entry and _is_readable_container(entry)]
            waiting += [entry for entry in containers if not self._skips(entry)]
            yield [entry for entry in chunk if not (entry and _is_readable_container(entry))]
            if len(waiting) >= CONTAINERS_WAITING:
                yield from _list_containers(waiting)
                waiting = []
        yield from _list_containers(waiting)

    def _skips(self, container: Entry) -> bool:
        """Tells whether a container is complete, and counts it if so."""
        if self._is_complete is None or not self._is_complete(container):
            return False
        self.counts.skipped_containers += 1
        return True


def _list_containers(containers: list[Entry]) -> Iterator[list[Item]]:
    """Yields what containers hold, in chunks of several containers in turn."""
    return interleave([partial(_list_container, container) for container in containers], CONTAINERS_AT_ONCE)


def _list_container(container: Entry) -> Iterator[Item]:
    """Yields what a container holds; one that cannot be read is one entry, which fails with the reason.

    An error that may pass (a busy store, a lost connection) ends the listing instead.
    """
    if is_compressed_tar(container.uri):
        yield unreadable_entry(container, UNPACK_ADVICE)
        return
    try:
        if is_tar(container.uri):
            yield from list_tar(container)
        elif _holds_images(container.uri):
            yield from list_parquet(container)
        else:
            yield None
    except (FileNotFoundError, PermissionError, pa.ArrowException, ColumnError) as error:
        yield unreadable_entry(container, describe(error))
    else:
        yield ContainerEnd(container)


def _is_readable_container(entry: Entry) -> bool:
    """Tells whether an entry is a container to open; one that a list names and nobody can examine fails as a file."""
    return entry.size is not None and is_container(entry.uri)


def _holds_images(uri: str) -> bool:
    """Tells whether a Parquet file has a column of image bytes."""
    with open_parquet(uri) as file:
        return image_column(file.schema_arrow) is not None


@contextmanager
def _as_usage_error(location: str) -> Iterator[None]:
    """Turns every error in the block into a UsageError of one line."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        # s3fs, botocore and pyarrow raise many types; each of them means the same to the user.
        raise UsageError(f"cannot read {location}: {describe(error)}") from error
