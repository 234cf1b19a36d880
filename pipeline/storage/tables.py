"""Tables as the bytes of Parquet files, read and written on the calling thread alone.

`pyarrow.parquet.read_table` reads on threads of Arrow's own, one of which may let go of the Python bytes only after the
interpreter has ended, and aborts the process: of 100 commands that read three tables and left, three ended so.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def from_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """All columns of the table in `data`, or those of `columns` that it has.

    Raises:
        pyarrow.ArrowInvalid: it is no Parquet file.
        OSError: its pages do not unpack.
    """
    file = open_bytes(data)
    return file.read(None if columns is None else list(columns), use_threads=False)


def open_bytes(data: bytes) -> pq.ParquetFile:
    """`data` as a Parquet file, for its footer and its row groups; raises pyarrow.ArrowInvalid if it is none."""
    return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)


def read_group(file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None) -> pa.Table:
    """All columns of a row group, or those of `columns`."""
    return file.read_row_group(group, None if columns is None else list(columns), use_threads=False)


def to_parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a zstd-compressed Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
