"""The files of a committed shard: read and checked, rewritten, removed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.output.commit import (
    commit_key,
    damage_message,
    encode_commit,
    file_entry,
    meshes_key,
    read_valid_commit,
    table_key,
)
from pipeline.output.meshes import unpack_tar, write_tar
from pipeline.shards.shard import ShardOutcome
from pipeline.storage.journal import Rewrite
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet, to_parquet

Meshes = dict[str, bytes | memoryview]
"""GLB files by name."""


@dataclass(frozen=True)
class CommittedShard:
    """Committed shard: its commit, its rows of `images` and `faces`, and its meshes."""

    shard: str
    commit: dict[str, Any]
    images: pa.Table
    faces: pa.Table
    meshes: Meshes


def read_shard(storage: Storage, shard: str) -> CommittedShard:
    """Reads a committed shard.

    Raises:
        UsageError: its files are not those of its commit; a rewrite would hide that.
    """
    commit = read_valid_commit(storage, shard)
    data: dict[str, bytes] = {}
    for file in commit["files"]:
        data[file["path"]] = _read_file(storage, file["path"])
        if hashlib.sha256(data[file["path"]]).hexdigest() != file["sha256"]:
            raise UsageError(damage_message(file["path"], "has changed since it was committed"))
    images, faces = (
        _decode_table(key, data.get(key, b""))
        for key in (table_key("images", shard), table_key("faces", shard))
    )
    tar = data.get(meshes_key(shard))
    return CommittedShard(shard, commit, images, faces, {} if tar is None else {**unpack_tar(tar)})


def read_ledger(storage: Storage, shard: str, columns: list[str]) -> pa.Table:
    """Reads columns of a committed shard's ledger; raises UsageError as `read_table` does."""
    return read_table(storage, table_key("images", shard), columns)


def read_table(storage: Storage, key: str, columns: list[str] | None = None) -> pa.Table:
    """Reads all or some columns of a table; raises UsageError if it is missing, is no table, or lacks one of them."""
    return _decode_table(key, _read_file(storage, key), columns)


def rewrite_shard(
    rewrite: Rewrite,
    old: CommittedShard,
    *,
    images: pa.Table,
    faces: pa.Table,
    meshes: Meshes,
    fingerprint: str,
) -> None:
    """Adds to `rewrite` the files of a committed shard with other rows; meshes that no face names are left out."""
    shard = old.shard
    named = set(faces["mesh_member"].to_pylist())
    used = sorted((name, data) for name, data in meshes.items() if name in named)
    files = {table_key("images", shard): to_parquet(images), table_key("faces", shard): to_parquet(faces)}
    if used:
        files[meshes_key(shard)] = write_tar(used)
    outcome = ShardOutcome(
        shard=shard,
        images=images.num_rows,
        faces=faces.num_rows,
        meshes=len(used),
        statuses=Counter(images["status"].to_pylist()),
    )
    entries = [file_entry(key, data) for key, data in files.items()]
    old_digests = {file["path"]: file["sha256"] for file in old.commit["files"]}
    for entry in entries:
        if old_digests.get(entry["path"]) != entry["sha256"]:
            rewrite.write(entry["path"], files[entry["path"]])
    rewrite.remove(*(key for key in old_digests if key not in files))
    rewrite.write(commit_key(shard), encode_commit(outcome, fingerprint, entries))


def remove_shard(rewrite: Rewrite, old: CommittedShard) -> None:
    """Adds to `rewrite` the removal of a committed shard."""
    rewrite.remove(commit_key(old.shard), *(file["path"] for file in old.commit["files"]))


def _read_file(storage: Storage, key: str) -> bytes:
    """Reads a file of a committed shard; raises UsageError if it is missing."""
    try:
        return storage.read(key)
    except FileNotFoundError:
        raise UsageError(damage_message(key, "is missing")) from None


def _decode_table(key: str, data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Decodes all or some columns of a table; raises UsageError if it is none, or lacks one of them."""
    try:
        table = from_parquet(data, columns)
    except (pa.ArrowInvalid, OSError):
        # Arrow says OSError of pages that do not unpack.
        raise UsageError(damage_message(key, "is no sound Parquet file")) from None
    missing = set(columns or ()) - set(table.column_names)
    if missing:
        raise UsageError(damage_message(key, f"has no column {', '.join(sorted(missing))}"))
    return table
