"""Lists of URIs: the lines of a .txt file, or a column of a .csv or .parquet file, read as a stream."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError, describe
from pipeline.sources.names import is_parquet
from pipeline.sources.parquet import URI_COLUMNS, is_text, open_parquet
from pipeline.sources.prefetch import map_ordered
from pipeline.sources.ranges import stat_or_missing
from pipeline.storage.locations import Entry, is_s3, local_path, normalize, s3, s3_path

THREADS = 16


def read_list(uri: str) -> Iterator[Entry]:
    """Yields the files that a list names, in its order, each as it is stored now; size None for a missing one.

    Relative paths start at the list's folder.

    Raises:
        UsageError: the list cannot be read, has no column of URIs, or names something that is neither a path nor s3://.
    """
    folder = uri.rsplit("/", 1)[0] if is_s3(uri) else os.path.dirname(local_path(uri))

    def resolve(name: str) -> Entry:
        return stat_or_missing(
            normalize(name if "://" in name or os.path.isabs(name) else f"{folder}/{name}")
        )

    with ThreadPoolExecutor(THREADS) as pool:
        yield from map_ordered(pool, resolve, _read_names(uri))


def _read_names(uri: str) -> Iterator[str]:
    """Yields the names in a list of any kind; raises UsageError."""
    try:
        if is_parquet(uri):
            yield from _read_parquet(uri)
            return
        with _open(uri) as source, io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
            yield from _read_csv(uri, text) if uri.lower().endswith(".csv") else _read_lines(text)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"cannot read the list {uri}: {describe(error)}") from None


def _open(uri: str) -> Any:
    """Opens a file for reading bytes, local or on S3."""
    return s3().open(s3_path(uri), "rb") if is_s3(uri) else Path(local_path(uri)).open("rb")


def _read_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yields the lines of a text, without empty ones and those that start with #."""
    for line in text:
        name = line.strip()
        if name and not name.startswith("#"):
            yield name


def _read_csv(uri: str, text: io.TextIOWrapper) -> Iterator[str]:
    """Yields the column of URIs of a CSV file, without empty cells."""
    rows = csv.reader(text)
    header = next(rows, [])
    column = header.index(_uri_column(uri, header))
    for row in rows:
        if len(row) > column and row[column]:
            yield row[column]


def _read_parquet(uri: str) -> Iterator[str]:
    """Yields the column of URIs of a Parquet file, without empty cells."""
    with open_parquet(uri) as file:
        column = _uri_column(uri, [field.name for field in file.schema_arrow if is_text(field.type)])
        for batch in file.iter_batches(4096, columns=[column]):
            yield from (value for value in batch.column(0).to_pylist() if value)


def _uri_column(uri: str, texts: list[str]) -> str:
    """Picks the column of URIs among those of text; raises UsageError if there is none."""
    only = texts[0] if len(texts) == 1 else None
    column = next((name for name in URI_COLUMNS if name in texts), only)
    if column is None:
        bytes_either = " (and none of image bytes either)" if is_parquet(uri) else ""
        raise UsageError(f"the list {uri} has no column of URIs{bytes_either}; name it 'uri'")
    return column
