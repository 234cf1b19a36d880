"""The commit of a shard: its files, under keys made from its id, and then `commits/SHARD.json`. No commit, no shard."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.output.meshes import pack_meshes
from pipeline.shards.costs import timed
from pipeline.shards.shard import AnnotatedShard, ImageRecord, ShardOutcome
from pipeline.storage.store import Storage
from pipeline.storage.tables import to_parquet
from schemas import SCHEMA_VERSION, images_schema

COMMITS = "commits"
REQUIRED: dict[str, type] = {
    "files": list,
    "statuses": dict,
    "fingerprint": str,
    "images": int,
    "faces": int,
    "meshes": int,
    "committed": str,
}
"""Fields that every commit has, with their types."""


def commit_key(shard: str) -> str:
    """Returns the key of a shard's commit."""
    return f"{COMMITS}/{shard}.json"


def table_key(table: str, shard: str) -> str:
    """Returns the key of a shard's part of a table, `images` or `faces`."""
    return f"{table}/{shard}.parquet"


def meshes_key(shard: str) -> str:
    """Returns the key of the tar of a shard's meshes."""
    return f"meshes/{shard}.tar"


def commit_shard(storage: Storage, shard: AnnotatedShard, fingerprint: str) -> ShardOutcome:
    """Writes the shard's tables and meshes, then `commits/SHARD.json` with their sizes and sha256.

    Doing it again overwrites the same keys, so a shard that is executed twice counts once.

    Raises:
        OSError: the output cannot be written.
    """
    outcome = count_rows(shard)
    seconds = outcome.costs.seconds
    with timed(seconds, "commit.pack"):
        files = {
            table_key("images", shard.shard): to_parquet(ledger_table(shard.images)),
            table_key("faces", shard.shard): to_parquet(shard.faces),
        }
        tar_key = meshes_key(shard.shard)
        if shard.meshes is not None and shard.meshes.names:
            files[tar_key] = pack_meshes(shard.meshes)
        entries = [file_entry(key, data) for key, data in files.items()]
    with timed(seconds, "commit.store"):
        if tar_key not in files and storage.exists(tar_key):
            storage.delete([tar_key])
        for key, data in files.items():
            storage.write(key, data)
    # The smallest file tells what a write costs whatever its size.
    with timed(seconds, "commit.mark"):
        storage.write(commit_key(shard.shard), encode_commit(outcome, fingerprint, entries))
    return outcome


def ledger_table(records: list[ImageRecord]) -> pa.Table:
    """Converts records to rows of the ledger, the table `images`."""
    return pa.Table.from_pylist([asdict(record) for record in records], schema=images_schema())


def count_rows(shard: AnnotatedShard) -> ShardOutcome:
    """Counts the images, faces and meshes of a shard, and its images by status."""
    return ShardOutcome(
        shard=shard.shard,
        images=len(shard.images),
        faces=shard.faces.num_rows,
        meshes=len(shard.meshes.names) if shard.meshes is not None else 0,
        statuses=Counter(record.status for record in shard.images),
    )


def file_entry(key: str, data: bytes) -> dict[str, Any]:
    """Makes a commit's entry of a file: path, size in bytes and sha256."""
    return {"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def encode_commit(outcome: ShardOutcome, fingerprint: str, files: list[dict[str, Any]]) -> bytes:
    """Encodes a commit as JSON; `files` are entries as `file_entry` makes them."""
    commit = {
        "shard": outcome.shard,
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint,
        "committed": datetime.now(UTC).isoformat(timespec="seconds"),
        **outcome.as_json(),
        "files": files,
    }
    return json.dumps(commit, indent=1).encode()


def committed_shards(storage: Storage) -> list[str]:
    """Lists the ids of the committed shards, sorted."""
    keys = storage.keys(COMMITS)
    return sorted(
        key.removeprefix(f"{COMMITS}/").removesuffix(".json") for key in keys if key.endswith(".json")
    )


def read_commit(storage: Storage, shard: str) -> dict[str, Any]:
    """Reads the commit of a shard; raises FileNotFoundError, or ValueError if it is no JSON object."""
    key = commit_key(shard)
    commit = json.loads(storage.read(key))
    if not isinstance(commit, dict):
        raise ValueError(f"{key} is no commit")
    return commit


def read_valid_commit(storage: Storage, shard: str) -> dict[str, Any]:
    """Reads the commit of a shard; raises UsageError if it cannot be read, or lacks a required field."""
    key = commit_key(shard)
    try:
        commit = read_commit(storage, shard)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(damage_message(key, f"cannot be read ({error})")) from None
    missing = sorted(name for name, kind in REQUIRED.items() if not isinstance(commit.get(name), kind))
    if missing:
        raise UsageError(damage_message(key, f"does not say its {', '.join(missing)}"))
    return commit


def damage_message(key: str, damage: str) -> str:
    """Formats the error line for a file of a committed shard that is not as it was committed."""
    return (
        f"{key} {damage}: `facegpt verify OUTPUT --repair` withdraws its shard, annotate then makes it again"
    )
