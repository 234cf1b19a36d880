"""Committed shards: opened, put, removed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.output.commit import FOLDER, commit_record, damage_message, file_entry, read_valid_commit
from pipeline.output.meshes import unpack_tar, write_tar
from pipeline.shards.shard import ShardOutcome
from pipeline.storage.journal import Rewrite
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet, to_parquet

Meshes = dict[str, bytes | memoryview]


@dataclass(frozen=True)
class CommittedShard:
    """What a commit names, opened: its record, its tables, and its meshes by file name."""

    shard: str
    commit: dict[str, Any]
    images: pa.Table
    faces: pa.Table
    meshes: Meshes


def read_shard(storage: Storage, shard: str) -> CommittedShard:
    """Opens a committed shard.

    Raises:
        UsageError: its files are not those of its commit: changing them would hide it.
    """
    commit = read_valid_commit(storage, shard)
    data: dict[str, bytes] = {}
    for file in commit["files"]:
        data[file["path"]] = _read(storage, file["path"])
        if hashlib.sha256(data[file["path"]]).hexdigest() != file["sha256"]:
            raise UsageError(damage_message(file["path"], "has changed since it was committed"))
    images, faces = (
        _table(f"{name}/{shard}.parquet", data.get(f"{name}/{shard}.parquet", b""))
        for name in ("images", "faces")
    )
    pack = data.get(f"meshes/{shard}.tar")
    return CommittedShard(shard, commit, images, faces, {} if pack is None else {**unpack_tar(pack)})


def read_ledger(storage: Storage, shard: str, columns: list[str]) -> pa.Table:
    """Some columns of a committed shard's ledger; raises UsageError if it is not there, or is no table."""
    return read_table(storage, f"images/{shard}.parquet", columns)


def read_table(storage: Storage, key: str, columns: list[str] | None = None) -> pa.Table:
    """Some or all columns of a table; raises UsageError if it is not there, is no table, or lacks one of them."""
    return _table(key, _read(storage, key), columns)


def _read(storage: Storage, key: str) -> bytes:
    try:
        return storage.read(key)
    except FileNotFoundError:
        raise UsageError(damage_message(key, "is missing")) from None


def _table(key: str, data: bytes, columns: list[str] | None = None) -> pa.Table:
    try:
        table = from_parquet(data, columns)
    except (pa.ArrowInvalid, OSError):
        # Arrow says OSError of pages that do not unpack.
        raise UsageError(damage_message(key, "is no sound Parquet file")) from None
    missing = set(columns or ()) - set(table.column_names)
    if missing:
        raise UsageError(damage_message(key, f"has no column {', '.join(sorted(missing))}"))
    return table


def rewrite_shard(
    changes: Rewrite,
    old: CommittedShard,
    images: pa.Table,
    faces: pa.Table,
    meshes: Meshes,
    fingerprint: str,
) -> None:
    """Adds to `changes` what it takes for `old` to have these rows; meshes that no face names are left out."""
    shard = old.shard
    named = set(faces["mesh_member"].to_pylist())
    used = sorted((name, data) for name, data in meshes.items() if name in named)
    files = {f"images/{shard}.parquet": to_parquet(images), f"faces/{shard}.parquet": to_parquet(faces)}
    if used:
        files[f"meshes/{shard}.tar"] = write_tar(used)
    outcome = ShardOutcome(
        shard=shard,
        images=images.num_rows,
        faces=faces.num_rows,
        meshes=len(used),
        statuses=Counter(images["status"].to_pylist()),
    )
    entries = [file_entry(key, data) for key, data in files.items()]
    before = {file["path"]: file["sha256"] for file in old.commit["files"]}
    for entry in entries:
        if before.get(entry["path"]) != entry["sha256"]:
            changes.write(entry["path"], files[entry["path"]])
    changes.remove(*(key for key in before if key not in files))
    changes.write(f"{FOLDER}/{shard}.json", commit_record(outcome, fingerprint, entries))


def remove_shard(changes: Rewrite, old: CommittedShard) -> None:
    """Adds to `changes` what it takes for `old` to be gone."""
    changes.remove(f"{FOLDER}/{old.shard}.json", *(file["path"] for file in old.commit["files"]))
