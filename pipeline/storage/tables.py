"""Tables as the bytes of Parquet files, read and written on the calling thread alone.

`pyarrow.parquet.read_table` reads on threads of Arrow's own, one of which may let go of the Python bytes only after the
interpreter has ended, and aborts the process: of 100 commands that read three tables and left, three ended so.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def to_parquet(table: pa.Table) -> bytes:
    """Encodes a table as a zstd-compressed Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Decodes the table in `data`: all columns, or those of `columns` that it has.

    Raises:
        pyarrow.ArrowInvalid: it is no Parquet file.
        OSError: its pages do not unpack.
    """
    file = open_parquet_bytes(data)
    return file.read(None if columns is None else list(columns), use_threads=False)


def open_parquet_bytes(data: bytes) -> pq.ParquetFile:
    """Opens `data` for its footer and its row groups; raises pyarrow.ArrowInvalid if it is no Parquet file."""
    return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)


def read_row_group(file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads one row group: all columns, or those of `columns`."""
    return file.read_row_group(group, None if columns is None else list(columns), use_threads=False)


def is_among(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    """Compares each string of a column with `values`; returns booleans, false where the string is null."""
    return pc.is_in(column, pa.array(sorted(values), pa.string()))
