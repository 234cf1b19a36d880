"""What was forgotten, as hashes: by content, so that a copy is known, and by listing, so that it is not read again."""

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

FOLDER = "tombstones"
REASON = "forgotten: `facegpt forget` removed an image with the same bytes"


@dataclass(frozen=True)
class Tombstones:
    """All tombstones of an output: ids of forgotten images, hashes of their listed files, and how many files say so."""

    image_ids: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    files: int = 0

    def hold(self, entry: Entry) -> bool:
        """Whether this version of this file was forgotten."""
        return bool(self.versions) and version_sha256(entry) in self.versions


def version_sha256(entry: Entry) -> str:
    """sha256 over the JSON list of uri, size and etag."""
    return hashlib.sha256(json.dumps([entry.uri, entry.size, entry.etag]).encode()).hexdigest()


def read_tombstones(storage: Storage) -> Tombstones:
    """Reads all of them; empty if nothing was ever forgotten.

    Raises:
        UsageError: one cannot be read. Without it, what was forgotten could come back.
    """
    keys = [key for key in storage.keys(FOLDER) if key.endswith(".parquet")]
    tables = [_read(storage, key) for key in keys]
    ids, versions = (
        frozenset(value for table in tables for value in table[name].to_pylist())
        for name in ("image_id", "version_sha256")
    )
    return Tombstones(ids, versions, len(keys))


def _read(storage: Storage, key: str) -> pa.Table:
    try:
        table = from_parquet(storage.read(key))
    except pa.ArrowInvalid as error:
        raise UsageError(_damaged(storage, key, f"is no Parquet file ({describe(error)})")) from None
    if not table.schema.equals(tombstones_schema()):
        raise UsageError(_damaged(storage, key, "has not the columns of tombstones"))
    return table


def _damaged(storage: Storage, key: str, what: str) -> str:
    return f"{storage.uri(key)} {what}: put it back as it was, since without it what was forgotten could come back"


def tombstone_table(forgotten: Iterable[tuple[str, Entry]]) -> pa.Table:
    """Image ids and their files as the table; sorted by hash, so that not even an order remains."""
    rows = sorted((image_id, version_sha256(entry)) for image_id, entry in forgotten)
    names = tombstones_schema().names
    return pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=tombstones_schema()
    )
