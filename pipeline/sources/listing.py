"""Listing any input as a stream of chunks: what it is, what lies in it, and the containers in it opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import pyarrow as pa

from pipeline.errors import UsageError, describe
from pipeline.sources import local, remote
from pipeline.sources.ahead import chunks, interleaved
from pipeline.sources.blobs import stored
from pipeline.sources.lists import listed
from pipeline.sources.names import (
    LIST_EXTENSIONS,
    UNPACK,
    is_container,
    is_image,
    is_packed,
    is_parquet,
    is_tar,
)
from pipeline.sources.parquet import ColumnError, image_column, open_parquet, parquet_images
from pipeline.sources.places import Unreadable, place_of, unreadable
from pipeline.sources.webdataset import tar_images
from pipeline.storage.locations import Entry, is_s3, local_path, normalize, s3

CONTAINERS_AT_ONCE = 8
CONTAINERS_WAITING = 64

Known = Callable[[Entry], bool]


@dataclass
class Counts:
    """How far a listing is: images found, files of other kinds, containers that were known.

    `whole`: containers whose images have all been listed; whoever keeps that in mind takes them from here.
    """

    found: int = 0
    ignored: int = 0
    known_containers: int = 0
    whole: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """Comes after the last image of a container."""

    container: Entry


Item = Entry | Whole | None


class Listing:
    """The images of an input, in chunks, in an order that is the same each time; memory does not grow with it.

    Args:
        location: a folder, an image, a tar, a Parquet file, a list, or an s3:// URL of any of these.
        output: files below it are left out, so that an output inside its input is not its own input.
        limit: only the first images: by path, of a list its first lines. The listing ends with the last of them.
        known: says of a container that an earlier run has read it to its end; it is not opened again.

    Raises:
        UsageError: the input does not exist or cannot be reached. While it is read: it cannot be read further.
    """

    def __init__(
        self, location: str, output: str | None = None, limit: int | None = None, known: Known | None = None
    ) -> None:
        self.location = location
        self.counts = Counts()
        self._limit = limit
        self._known = known if limit is None else None
        self._inside = normalize(output) if output is not None else None
        self._uri = normalize(location)
        with _clearly(location):
            self._chunks = self._opened()

    def __iter__(self) -> Iterator[list[Entry]]:
        with _clearly(self.location), closing(self._chunks):
            for chunk in self._chunks:
                images = [item for item in chunk if isinstance(item, Entry)]
                self.counts.ignored += chunk.count(None)
                if self._limit is None:
                    self.counts.whole += [item.container for item in chunk if isinstance(item, Whole)]
                else:
                    images = images[: self._limit - self.counts.found]
                self.counts.found += len(images)
                if images:
                    yield images
                if self.counts.found == self._limit:
                    return
        if not self.counts.found and not self.counts.known_containers:
            ignored = self.counts.ignored
            others = f" ({ignored:,} files with other extensions)" if ignored else ""
            raise UsageError(f"no image in {self.location}{others}")

    def _opened(self) -> Generator[list[Item], None, None]:
        uri = self._uri
        if not self._is_file():
            if is_s3(uri):
                return self._expanded(remote.walked(uri, self._inside, sequential=self._limit is not None))
            return self._expanded(chunks(local.walked(local_path(uri), self._inside)))
        if is_packed(uri):
            raise UsageError(f"{uri}: {UNPACK}")
        if is_tar(uri):
            return self._alone(stored(uri))
        if is_parquet(uri) and _holds_images(uri):
            return self._alone(stored(uri))
        if uri.lower().endswith(LIST_EXTENSIONS):
            return self._expanded(chunks(listed(uri)))
        if is_image(uri):
            return self._expanded([[stored(uri)]])
        raise UsageError(
            f"{uri} is neither an image, nor a .tar, nor a list of images ({', '.join(LIST_EXTENSIONS)})"
        )

    def _is_file(self) -> bool:
        if is_s3(self._uri):
            path = self._uri.removeprefix("s3://")
            if not s3().exists(path):
                raise UsageError(f"there is nothing at {self._uri}")
            return bool(s3().isfile(path))
        path = local_path(self._uri)
        if not os.path.exists(path):
            raise UsageError(f"there is no file or folder {path}")
        return not os.path.isdir(path)

    def _alone(self, container: Entry) -> Generator[list[Item], None, None]:
        """A container that was named itself: one that cannot be read from its start is the user's to put right."""
        if self._is_known(container):
            return
        source = self._inner(container)
        first = next(source, None)
        if isinstance(first, Entry) and first.uri == container.uri:
            bad = place_of(first)
            raise UsageError(
                f"{container.uri}: {bad.reason if isinstance(bad, Unreadable) else 'cannot be read'}"
            )
        yield from chunks(chain([first], source))

    def _expanded(self, source: Iterable[list[Entry | None]]) -> Generator[list[Item], None, None]:
        """Puts what containers hold in their place, or, without a limit, reads several of them at once."""
        if self._limit is not None:
            for entry in chain.from_iterable(source):
                if entry and _is_box(entry):
                    yield from chunks(self._inner(entry))
                else:
                    yield [entry]
            return
        waiting: list[Entry] = []
        for chunk in source:
            boxes = [entry for entry in chunk if entry and _is_box(entry)]
            waiting += [entry for entry in boxes if not self._is_known(entry)]
            yield [entry for entry in chunk if not (entry and _is_box(entry))]
            if len(waiting) >= CONTAINERS_WAITING:
                yield from self._all_inner(waiting)
                waiting = []
        yield from self._all_inner(waiting)

    def _all_inner(self, containers: list[Entry]) -> Iterator[list[Item]]:
        return interleaved([partial(self._inner, one) for one in containers], CONTAINERS_AT_ONCE)

    def _is_known(self, container: Entry) -> bool:
        if self._known is None or not self._known(container):
            return False
        self.counts.known_containers += 1
        return True

    def _inner(self, container: Entry) -> Iterator[Item]:
        """What a container holds; one that cannot be read is one entry, which fails with the reason.

        An error that may pass (a busy store, a lost connection) ends the listing instead.
        """
        if is_packed(container.uri):
            yield unreadable(container, UNPACK)
            return
        try:
            if is_tar(container.uri):
                yield from tar_images(container)
            elif _holds_images(container.uri):
                yield from parquet_images(container)
            else:
                yield None
        except (FileNotFoundError, PermissionError, pa.ArrowException, ColumnError) as error:
            yield unreadable(container, describe(error))
        else:
            yield Whole(container)


def _is_box(entry: Entry) -> bool:
    """Whether an entry is a container to open; what a list names and nobody can examine is left to fail as a file."""
    return entry.size is not None and is_container(entry.uri)


def _holds_images(uri: str) -> bool:
    with open_parquet(uri) as file:
        return image_column(file.schema_arrow) is not None


@contextmanager
def _clearly(location: str) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        # s3fs, botocore and pyarrow raise many types; each of them means the same to the user.
        raise UsageError(f"cannot read {location}: {describe(error)}") from error
