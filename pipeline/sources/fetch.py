"""The bytes of an entry, wherever they lie, and the caption that its source has for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from pipeline.sources.blobs import Blob, stored
from pipeline.sources.chunks import Chunks
from pipeline.sources.parquet import ColumnError, GroupReaders
from pipeline.sources.places import ParquetCell, TarMember, Text, Unreadable, place_of
from pipeline.storage.locations import Entry, is_s3, read_uri

CAPTION_CHARACTERS = 2000
NEARBY = 1 << 18
JSON_KEYS = ("caption", "text")


@dataclass(frozen=True)
class Fetched:
    """An image file's bytes, and the caption beside it in the source, if there is one."""

    data: bytes
    caption: str | None = None


class Fetcher:
    """Fetches entries; safe to use by several threads. A Parquet row group is read once for all of its rows, and
    members of a tar on S3 many at a time.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._groups = GroupReaders()
        self._chunks = Chunks()

    def __call__(self, entry: Entry) -> Fetched:
        """The bytes of an entry.

        Raises:
            OSError: it cannot be read.
            ValueError: it is larger than `max_bytes`, is damaged, or its container changed since it was listed.
        """
        place = place_of(entry)
        if isinstance(place, Unreadable):
            raise ValueError(place.reason)
        if isinstance(place, TarMember):
            return self._member(place, entry.size or 0)
        if isinstance(place, ParquetCell):
            return self._cell(place)
        return Fetched(read_uri(entry.uri, self.max_bytes, entry.size))

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise ValueError(f"larger than {self.max_bytes:,} bytes (decode.max_bytes)")

    def _member(self, place: TarMember, size: int) -> Fetched:
        self._check(size)
        with Blob(place.uri) as blob:
            etag = _etag_now(place.uri, place.etag) if is_s3(place.uri) else blob.entry().etag
            if (etag or "") != place.etag:
                raise ValueError("the tar was changed since it was listed")

            def read(offset: int, length: int) -> bytes:
                if is_s3(place.uri):
                    return self._chunks.read(blob, place.etag, offset, length)
                return blob.read(offset, length)

            start, end, text = place.offset, place.offset + size, place.text
            if text is not None:
                first, last = min(start, text.offset), max(end, text.offset + text.length)
                if last - first <= size + text.length + NEARBY:
                    # One range for both: on S3 a request costs more than the bytes between.
                    span = read(first, last - first)
                    data, said = span[start - first : end - first], span[text.offset - first :][: text.length]
                else:
                    data, said = read(start, size), read(text.offset, text.length)
                caption = caption_of(said, text)
            else:
                data, caption = read(start, size), None
        if len(data) < size:
            raise ValueError("the tar ends before this member does")
        return Fetched(data, caption)

    def _cell(self, place: ParquetCell) -> Fetched:
        try:
            data, text = self._groups.get(place.uri, place.etag, place.group).cell(place.row)
        except (pa.ArrowException, ColumnError, StopIteration) as error:
            raise ValueError(f"the Parquet file cannot be read: {error}") from error
        if data is None:
            raise ValueError("the cell holds no bytes (null)")
        self._check(len(data))
        return Fetched(data, bounded(text))


@lru_cache(maxsize=256)
def _etag_now(uri: str, listed: str) -> str | None:
    """Asked once per tar (and listed etag), not once per member."""
    return stored(uri).etag


def caption_of(data: bytes, text: Text) -> str | None:
    """The caption in a .txt file, or under `caption` or `text` of a .json file; None where there is none."""
    said = data.decode("utf-8", "replace")
    if text.kind == "json":
        try:
            values = json.loads(said)
        except (ValueError, RecursionError):
            # Any JSON may lie beside an image; one that is none has no caption, and the image is not worse for it.
            return None
        said = (
            next((values[key] for key in JSON_KEYS if values.get(key)), "")
            if isinstance(values, dict)
            else ""
        )
    return bounded(said)


def bounded(text: object) -> str | None:
    """A caption without the white space around it, of at most `CAPTION_CHARACTERS`; None if nothing is left."""
    return (text.replace("\0", " ").strip()[:CAPTION_CHARACTERS] or None) if isinstance(text, str) else None
