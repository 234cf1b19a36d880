"""Parquet files with image bytes: the column that holds them, an entry per row, and cells read by row group."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources.locators import parquet_entry
from pipeline.sources.ranges import stat_uri
from pipeline.storage.locations import Entry, is_s3, local_path, s3, s3_path

URI_COLUMNS = ("uri", "url", "path", "file", "filename", "image")
IMAGE_COLUMNS = ("image", "img", "bytes", "image_bytes", "jpg", "png")
TEXT_COLUMNS = ("caption", "text")
BATCH_BYTES = 16 << 20
ROWS_KEPT = 16
"""More rows than the threads of a worker read ahead: for a row that is no longer kept the group is read anew."""
OPEN_GROUPS = 2


class ColumnError(Exception):
    """Error in a Parquet file's columns: it is not clear which holds the images; the message says why."""


def open_parquet(uri: str) -> pq.ParquetFile:
    """Opens a file for reading its footer and streaming its rows.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowInvalid: it is no Parquet file.
    """
    source = s3().open(s3_path(uri), "rb") if is_s3(uri) else local_path(uri)
    # A small buffer keeps pyarrow from loading whole column chunks, which may be gigabytes of photos.
    return pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)


def image_column(schema: pa.Schema) -> tuple[str, str] | None:
    """Finds the column of image bytes, and the field in it (none: ""); None where no column holds bytes.

    A struct with a field `bytes` is taken first; a column of bytes is taken unless another may be meant.

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
    """Finds the column of captions; None where there is none."""
    texts = {field.name for field in schema if is_text(field.type)}
    return next((name for name in TEXT_COLUMNS if name in texts), None)


def is_bytes(type: pa.DataType) -> bool:
    """Tells whether a column of this type holds bytes."""
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_binary_view(type))


def is_text(type: pa.DataType) -> bool:
    """Tells whether a column of this type holds text."""
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def list_parquet(container: Entry) -> Iterator[Entry]:
    """Yields one entry per row, from the footer alone; nothing if no column holds bytes.

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
            yield parquet_entry(container, number, group, row)
            number += 1


class GroupReader:
    """Reader of the cells of one row group, forwards and once: a shard's rows come nearly in order.

    Raises (when made): OSError, pyarrow.ArrowInvalid, ColumnError; ValueError if the file has changed since.
    """

    def __init__(self, uri: str, etag: str, group: int) -> None:
        if (stat_uri(uri).etag or "") != etag:
            raise ValueError("the Parquet file was changed since it was listed")
        self._lock = threading.Lock()
        self._file = open_parquet(uri)
        schema = self._file.schema_arrow
        column = image_column(schema)
        if column is None:
            raise ColumnError("no column of bytes")
        self._image_column, self._field = column
        self._text_column = text_column(schema)
        self._group = group
        metadata = self._file.metadata.row_group(group)
        row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
        self._batch_rows = max(1, min(256, BATCH_BYTES // row_bytes))
        self._batches_kept: list[tuple[int, Any]] = []
        self._first = self._next = 0
        self._start()

    def read_cell(self, row: int) -> tuple[bytes | None, str | None]:
        """Reads the bytes and the caption of a row; None where there is none."""
        with self._lock:
            if row < self._first:
                self._start()
            while row >= self._next:
                batch = next(self._batches)
                self._batches_kept.append((self._next, batch))
                self._next += batch.num_rows
                while len(self._batches_kept) > 1 and self._next - self._batches_kept[1][0] >= ROWS_KEPT:
                    del self._batches_kept[0]
                self._first = self._batches_kept[0][0]
            start, batch = next(
                (start, batch) for start, batch in reversed(self._batches_kept) if start <= row
            )
            return self._values_at(batch, row - start)

    def _start(self) -> None:
        """Starts to read the group from its first row."""
        image = f"{self._image_column}.{self._field}" if self._field else self._image_column
        columns = [image, self._text_column] if self._text_column else [image]
        self._batches = self._file.iter_batches(
            self._batch_rows, row_groups=[self._group], columns=columns, use_threads=False
        )
        self._batches_kept = []
        self._first = self._next = 0

    def _values_at(self, batch: Any, row: int) -> tuple[bytes | None, str | None]:
        """Returns the bytes and the caption in a row of a record batch."""
        value = batch.column(self._image_column)[row].as_py()
        if self._field and value is not None:
            value = value[self._field]
        text = batch.column(self._text_column)[row].as_py() if self._text_column else None
        return value, text


class GroupReaders:
    """The row groups that a process reads at the moment, each of them open once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: OrderedDict[tuple[str, str, int], GroupReader] = OrderedDict()

    def get(self, uri: str, etag: str, group: int) -> GroupReader:
        """Returns the reader of a row group; raises what `GroupReader` raises."""
        key = (uri, etag, group)
        with self._lock:
            if key not in self._readers:
                self._readers[key] = GroupReader(uri, etag, group)
                if len(self._readers) > OPEN_GROUPS:
                    # Not closed here: another thread may be reading from it, and it closes with its last user.
                    self._readers.popitem(last=False)
            self._readers.move_to_end(key)
            return self._readers[key]
