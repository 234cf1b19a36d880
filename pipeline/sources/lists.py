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
from pipeline.sources.ahead import mapped
from pipeline.sources.blobs import stored
from pipeline.sources.names import is_parquet
from pipeline.sources.parquet import URI_COLUMNS, is_text, open_parquet
from pipeline.storage.locations import S3, Entry, is_s3, local_path, normalize, s3

THREADS = 16


def listed(uri: str) -> Iterator[Entry]:
    """The files that a list names, in its order, each as it is stored now; size None for one that is not there.

    Relative paths start at the list's folder.

    Raises:
        UsageError: the list cannot be read, has no column of URIs, or names something that is neither a path nor s3://.
    """
    folder = uri.rsplit("/", 1)[0] if is_s3(uri) else os.path.dirname(local_path(uri))

    def entry(name: str) -> Entry:
        return examined(normalize(name if "://" in name or os.path.isabs(name) else f"{folder}/{name}"))

    with ThreadPoolExecutor(THREADS) as pool:
        yield from mapped(pool, entry, _names(uri))


def examined(uri: str) -> Entry:
    """A file as it is stored now. One that cannot be examined is an entry all the same, and fails when it is read."""
    try:
        return stored(uri)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return Entry(uri, None, None)
    except OSError:
        if is_s3(uri):
            raise
        return Entry(uri, None, None)


def _names(uri: str) -> Iterator[str]:
    try:
        if is_parquet(uri):
            yield from _parquet(uri)
            return
        with _opened(uri) as source, io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
            yield from _csv(uri, text) if uri.lower().endswith(".csv") else _lines(text)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"cannot read the list {uri}: {describe(error)}") from None


def _opened(uri: str) -> Any:
    return s3().open(uri[len(S3) :], "rb") if is_s3(uri) else Path(local_path(uri)).open("rb")


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    for line in text:
        name = line.strip()
        if name and not name.startswith("#"):
            yield name


def _csv(uri: str, text: io.TextIOWrapper) -> Iterator[str]:
    rows = csv.reader(text)
    header = next(rows, [])
    column = header.index(_uri_column(uri, header))
    for row in rows:
        if len(row) > column and row[column]:
            yield row[column]


def _parquet(uri: str) -> Iterator[str]:
    with open_parquet(uri) as file:
        column = _uri_column(uri, [field.name for field in file.schema_arrow if is_text(field.type)])
        for batch in file.iter_batches(4096, columns=[column]):
            yield from (value for value in batch.column(0).to_pylist() if value)


def _uri_column(uri: str, texts: list[str]) -> str:
    only = texts[0] if len(texts) == 1 else None
    column = next((name for name in URI_COLUMNS if name in texts), only)
    if column is None:
        bytes_either = " (and none of image bytes either)" if is_parquet(uri) else ""
        raise UsageError(f"the list {uri} has no column of URIs{bytes_either}; name it 'uri'")
    return column
