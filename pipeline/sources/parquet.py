"""Parquet files with image bytes: which column holds them, one entry per row, and the rows' bytes, group by group."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources.blobs import stored
from pipeline.sources.places import parquet_cell
from pipeline.storage.locations import S3, Entry, is_s3, local_path, s3

URI_COLUMNS = ("uri", "url", "path", "file", "filename", "image")
IMAGE_COLUMNS = ("image", "img", "bytes", "image_bytes", "jpg", "png")
TEXT_COLUMNS = ("caption", "text")
BATCH_BYTES = 16 << 20
ROWS_KEPT = 16
"""More than the threads of a worker read ahead: a row that was left behind means to start the group anew."""
OPEN_GROUPS = 2


class ColumnError(Exception):
    """A Parquet file in which it is not clear what the images are; the message says why."""


def open_parquet(uri: str) -> pq.ParquetFile:
    """The file, for reading its footer and streaming its rows.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowInvalid: it is no Parquet file.
    """
    source = s3().open(uri[len(S3) :], "rb") if is_s3(uri) else local_path(uri)
    # A small buffer keeps pyarrow from loading whole column chunks, which may be gigabytes of photos.
    return pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)


def image_column(schema: pa.Schema) -> tuple[str, str] | None:
    """The column of image bytes, and the field in it (none: ""); None where no column holds bytes.

    A struct with a field `bytes` is one beyond doubt; a column of bytes is one unless another may be meant.

    Raises:
        ColumnError: several columns of bytes, or bytes beside a column of URIs.
    """
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and field.type.get_field_index("bytes") >= 0
        and is_bytes(field.type.field("bytes").type)
    ]
    plain = [field.name for field in schema if is_bytes(field.type)]
    named = [name for name in IMAGE_COLUMNS if name in structs or (not structs and name in plain)]
    candidates = named[:1] or structs or plain
    if not candidates:
        return None
    if len(candidates) > 1:
        raise ColumnError(
            f"several columns of bytes ({', '.join(candidates)}): name that of the images 'image'"
        )
    if structs:
        return candidates[0], "bytes"
    uris = [field.name for field in schema if field.name in URI_COLUMNS and is_text(field.type)]
    if uris:
        raise ColumnError(
            f"a column of bytes ({candidates[0]}) and one of URIs ({uris[0]}), and it is not clear which is meant: "
            "leave one out"
        )
    return candidates[0], ""


def text_column(schema: pa.Schema) -> str | None:
    """The column of captions, if there is one."""
    texts = {field.name for field in schema if is_text(field.type)}
    return next((name for name in TEXT_COLUMNS if name in texts), None)


def is_bytes(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_binary_view(type))


def is_text(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def parquet_images(container: Entry) -> Iterator[Entry]:
    """One entry per row, from the footer alone; nothing if no column holds bytes.

    Raises:
        OSError, pyarrow.ArrowInvalid: it cannot be read.
        ColumnError: as `image_column`.
    """
    with open_parquet(container.uri) as file:
        if image_column(file.schema_arrow) is None:
            return
        rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    number = 0
    for group, count in enumerate(rows):
        for row in range(count):
            yield parquet_cell(container, number, group, row)
            number += 1


class GroupReader:
    """The cells of one row group, read forwards once and kept for a while: a shard's rows come nearly in order.

    Raises (when made): OSError, pyarrow.ArrowInvalid, ColumnError; ValueError if the file has changed since.
    """

    def __init__(self, uri: str, etag: str, group: int) -> None:
        if (stored(uri).etag or "") != etag:
            raise ValueError("the Parquet file was changed since it was listed")
        self._lock = threading.Lock()
        self._file = open_parquet(uri)
        schema = self._file.schema_arrow
        column = image_column(schema)
        if column is None:
            raise ColumnError("no column of bytes")
        self._column, self._inner = column
        self._text = text_column(schema)
        self._group = group
        metadata = self._file.metadata.row_group(group)
        each = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
        self._rows = max(1, min(256, BATCH_BYTES // each))
        self._kept: list[tuple[int, Any]] = []
        self._first = self._next = 0
        self._start()

    def cell(self, row: int) -> tuple[bytes | None, str | None]:
        """The bytes and the caption of a row; None where there is none."""
        with self._lock:
            if row < self._first:
                self._start()
            while row >= self._next:
                batch = next(self._batches)
                self._kept.append((self._next, batch))
                self._next += batch.num_rows
                while len(self._kept) > 1 and self._next - self._kept[1][0] >= ROWS_KEPT:
                    del self._kept[0]
                self._first = self._kept[0][0]
            start, batch = next((start, kept) for start, kept in reversed(self._kept) if start <= row)
            return self._values(batch, row - start)

    def close(self) -> None:
        self._file.close()

    def _start(self) -> None:
        image = f"{self._column}.{self._inner}" if self._inner else self._column
        columns = [image, self._text] if self._text else [image]
        self._batches = self._file.iter_batches(
            self._rows, row_groups=[self._group], columns=columns, use_threads=False
        )
        self._kept = []
        self._first = self._next = 0

    def _values(self, batch: Any, row: int) -> tuple[bytes | None, str | None]:
        value = batch.column(self._column)[row].as_py()
        if self._inner and value is not None:
            value = value[self._inner]
        text = batch.column(self._text)[row].as_py() if self._text else None
        return value, text


class GroupReaders:
    """The row groups that a process reads just now, each of them open once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: OrderedDict[tuple[str, str, int], GroupReader] = OrderedDict()

    def get(self, uri: str, etag: str, group: int) -> GroupReader:
        """The reader of a row group; raises what `GroupReader` raises."""
        key = (uri, etag, group)
        with self._lock:
            if key not in self._readers:
                self._readers[key] = GroupReader(uri, etag, group)
                if len(self._readers) > OPEN_GROUPS:
                    # Not closed here: another thread may be reading from it, and it closes with its last user.
                    self._readers.popitem(last=False)
            self._readers.move_to_end(key)
            return self._readers[key]
