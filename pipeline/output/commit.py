"""The last stage: the files of a shard under keys made from its id, and then its commit. No commit, no shard."""

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
from pipeline.shards.shard import AnnotatedShard, ImageRecord, ShardOutcome
from pipeline.storage.store import Storage
from pipeline.storage.tables import to_parquet
from schemas import SCHEMA_VERSION, images_schema

FOLDER = "commits"
SAID: dict[str, type] = {
    "files": list,
    "statuses": dict,
    "fingerprint": str,
    "images": int,
    "faces": int,
    "meshes": int,
    "committed": str,
}
"""What every commit says."""


def commit_shard(storage: Storage, shard: AnnotatedShard, fingerprint: str) -> ShardOutcome:
    """Writes the shard's tables and meshes, then `commits/SHARD.json` with their sizes and sha256.

    Doing it again overwrites the same keys, so a shard that is executed twice counts once.

    Raises:
        OSError: the output cannot be written.
    """
    images = ledger_table(shard.images)
    files = {
        f"images/{shard.shard}.parquet": to_parquet(images),
        f"faces/{shard.shard}.parquet": to_parquet(shard.faces),
    }
    if shard.meshes is not None and shard.meshes.names:
        files[f"meshes/{shard.shard}.tar"] = pack_meshes(shard.meshes)
    outcome = ShardOutcome(
        shard=shard.shard,
        images=images.num_rows,
        faces=shard.faces.num_rows,
        meshes=len(shard.meshes.names) if shard.meshes is not None else 0,
        statuses=Counter(record.status for record in shard.images),
    )
    pack_key = f"meshes/{shard.shard}.tar"
    if pack_key not in files and storage.exists(pack_key):
        storage.delete([pack_key])
    for key, data in files.items():
        storage.write(key, data)
    named = [file_entry(key, data) for key, data in files.items()]
    storage.write(f"{FOLDER}/{shard.shard}.json", commit_record(outcome, fingerprint, named))
    return outcome


def ledger_table(records: list[ImageRecord]) -> pa.Table:
    """Records as rows of the table `images`."""
    return pa.Table.from_pylist([asdict(record) for record in records], schema=images_schema())


def file_entry(key: str, data: bytes) -> dict[str, Any]:
    """How a commit names a file."""
    return {"path": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def commit_record(outcome: ShardOutcome, fingerprint: str, files: list[dict[str, Any]]) -> bytes:
    """What `commits/SHARD.json` holds."""
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
    """Ids of the committed shards, sorted."""
    keys = storage.keys(FOLDER)
    return sorted(
        key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in keys if key.endswith(".json")
    )


def read_commit(storage: Storage, shard: str) -> dict[str, Any]:
    """The commit of a shard; raises FileNotFoundError or ValueError."""
    commit = json.loads(storage.read(f"{FOLDER}/{shard}.json"))
    if not isinstance(commit, dict):
        raise ValueError(f"{FOLDER}/{shard}.json is no commit")
    return commit


def read_valid_commit(storage: Storage, shard: str) -> dict[str, Any]:
    """The record of a commit; raises UsageError if it cannot be read, or lacks something."""
    key = f"{FOLDER}/{shard}.json"
    try:
        commit = read_commit(storage, shard)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(damage_message(key, f"cannot be read ({error})")) from None
    missing = sorted(name for name, kind in SAID.items() if not isinstance(commit.get(name), kind))
    if missing:
        raise UsageError(damage_message(key, f"does not say its {', '.join(missing)}"))
    return commit


def damage_message(key: str, what: str) -> str:
    """What to say of a file of a committed shard that is not as it was committed."""
    return f"{key} {what}: `facegpt verify OUTPUT --repair` withdraws its shard, annotate then makes it again"
