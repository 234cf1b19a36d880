"""Tombstones: hashes of forgotten images. Of their contents, so that no copy comes back, and of their entries, so that
they are not fetched again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import UsageError, describe
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet
from schemas import tombstones_schema

TOMBSTONES = "tombstones"
REASON = "forgotten: `facegpt forget` removed an image with the same bytes"


@dataclass(frozen=True)
class Tombstones:
    """All tombstones of an output: ids of the forgotten images, hashes of their entries, and the number of tables."""

    image_ids: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    files: int = 0

    def covers(self, entry: Entry) -> bool:
        """Tells whether this version of this file was forgotten."""
        return bool(self.versions) and version_sha256(entry) in self.versions


def version_sha256(entry: Entry) -> str:
    """Hashes an entry: sha256 over the JSON list of uri, size and etag."""
    return hashlib.sha256(json.dumps([entry.uri, entry.size, entry.etag]).encode()).hexdigest()


def read_tombstones(storage: Storage) -> Tombstones:
    """Reads all tombstones of an output; empty if nothing was ever forgotten.

    Raises:
        UsageError: a table cannot be read. Without it, what was forgotten could come back.
    """
    keys = [key for key in storage.keys(TOMBSTONES) if key.endswith(".parquet")]
    tables = [_read_table(storage, key) for key in keys]
    ids, versions = (
        frozenset(value for table in tables for value in table[name].to_pylist())
        for name in ("image_id", "version_sha256")
    )
    return Tombstones(ids, versions, len(keys))


def tombstone_table(forgotten: Iterable[tuple[str, Entry]]) -> pa.Table:
    """Makes the table of image ids and entries; sorted by hash, so that not even an order remains."""
    rows = sorted((image_id, version_sha256(entry)) for image_id, entry in forgotten)
    names = tombstones_schema().names
    return pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=tombstones_schema()
    )


def _read_table(storage: Storage, key: str) -> pa.Table:
    """Reads one table of tombstones; raises UsageError if it is none."""
    try:
        table = from_parquet(storage.read(key))
    except pa.ArrowInvalid as error:
        raise UsageError(_damage_message(storage, key, f"is no Parquet file ({describe(error)})")) from None
    if not table.schema.equals(tombstones_schema()):
        raise UsageError(_damage_message(storage, key, "has not the columns of tombstones"))
    return table


def _damage_message(storage: Storage, key: str, damage: str) -> str:
    """Formats the error line for a damaged table of tombstones."""
    return f"{storage.uri(key)} {damage}: put it back as it was, since without it what was forgotten could come back"
