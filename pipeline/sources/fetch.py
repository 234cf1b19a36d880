"""Fetching an entry: the bytes of the image, wherever they lie, and the caption that its source has for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from pipeline.sources.locators import ParquetLocator, TarLocator, UnreadableLocator, parse_locator
from pipeline.sources.parquet import ColumnError, GroupReaders
from pipeline.sources.range_cache import RangeCache
from pipeline.sources.ranges import RangeReader, stat_uri
from pipeline.storage.locations import Entry, is_s3, read_uri

CAPTION_CHARACTERS = 2000
NEARBY = 1 << 18
"""Bytes between an image and its sidecar that are read as well rather than sending a second request."""
JSON_KEYS = ("caption", "text")


@dataclass(frozen=True)
class Fetched:
    """An image file's bytes, and the caption beside it in the source, if there is one."""

    data: bytes
    caption: str | None = None


class Fetcher:
    """Reader of entries, safe to use by several threads.

    A Parquet row group is read once for all of its rows, and members of a tar on S3 many at a time.

    Args:
        max_bytes: of an image file; larger ones are refused.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._groups = GroupReaders()
        self._ranges = RangeCache()

    def __call__(self, entry: Entry) -> Fetched:
        """Fetches an entry.

        Raises:
            OSError: it cannot be read.
            ValueError: it is larger than `max_bytes`, is damaged, or its container changed since it was listed.
        """
        locator = parse_locator(entry)
        if isinstance(locator, UnreadableLocator):
            raise ValueError(locator.reason)
        if isinstance(locator, TarLocator):
            return self._fetch_member(locator, entry.size or 0)
        if isinstance(locator, ParquetLocator):
            return self._fetch_cell(locator)
        return Fetched(read_uri(entry.uri, self.max_bytes, entry.size))

    def _check_size(self, size: int) -> None:
        """Raises ValueError if an image is larger than `max_bytes`."""
        if size > self.max_bytes:
            raise ValueError(f"larger than {self.max_bytes:,} bytes (decode.max_bytes)")

    def _fetch_member(self, locator: TarLocator, size: int) -> Fetched:
        """Fetches `size` bytes of a tar, and the caption in the member's sidecar."""
        self._check_size(size)
        with RangeReader(locator.uri) as reader:
            etag = _current_etag(locator.uri, locator.etag) if is_s3(locator.uri) else reader.stat().etag
            if (etag or "") != locator.etag:
                raise ValueError("the tar was changed since it was listed")

            def read(offset: int, length: int) -> bytes:
                if is_s3(locator.uri):
                    return self._ranges.read(reader, locator.etag, offset, length)
                return reader.read(offset, length)

            start, end, sidecar = locator.offset, locator.offset + size, locator.sidecar
            if sidecar is not None:
                first, last = min(start, sidecar.offset), max(end, sidecar.offset + sidecar.length)
                if last - first <= size + sidecar.length + NEARBY:
                    # One range for both: on S3 a request costs more than the bytes between.
                    span = read(first, last - first)
                    data = span[start - first : end - first]
                    text = span[sidecar.offset - first :][: sidecar.length]
                else:
                    data, text = read(start, size), read(sidecar.offset, sidecar.length)
                caption = parse_sidecar(text, sidecar.kind)
            else:
                data, caption = read(start, size), None
        if len(data) < size:
            raise ValueError("the tar ends before this member does")
        return Fetched(data, caption)

    def _fetch_cell(self, locator: ParquetLocator) -> Fetched:
        """Fetches the bytes and the caption of a row of a Parquet file."""
        try:
            reader = self._groups.get(locator.uri, locator.etag, locator.group)
            data, text = reader.read_cell(locator.row)
        except (pa.ArrowException, ColumnError, StopIteration) as error:
            raise ValueError(f"the Parquet file cannot be read: {error}") from error
        if data is None:
            raise ValueError("the cell holds no bytes (null)")
        self._check_size(len(data))
        return Fetched(data, clean_caption(text))


@lru_cache(maxsize=256)
def _current_etag(uri: str, listed_etag: str) -> str | None:
    """Returns the etag of a tar on S3; cached by the listed etag, so that it is asked once per tar and listing."""
    return stat_uri(uri).etag


def parse_sidecar(data: bytes, kind: str) -> str | None:
    """Returns the caption in a text (`kind` txt), or under `caption` or `text` in a JSON; None where there is none."""
    text = data.decode("utf-8", "replace")
    if kind == "json":
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            # Any JSON may lie beside an image; one that is none has no caption, and the image is not worse for it.
            return None
        if not isinstance(values, dict):
            return None
        return clean_caption(next((values[key] for key in JSON_KEYS if values.get(key)), None))
    return clean_caption(text)


def clean_caption(text: object) -> str | None:
    """Strips and shortens a caption to at most `CAPTION_CHARACTERS`; None where nothing is left, or it is no text."""
    return (text.replace("\0", " ").strip()[:CAPTION_CHARACTERS] or None) if isinstance(text, str) else None
