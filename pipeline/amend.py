"""A committed shard with some of its rows exchanged or taken out; all others stay as they are."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.commit import FOLDER, commit_record, damaged, file_entry, ledger, sound_commit
from pipeline.errors import UsageError
from pipeline.meshes import glb_of, tar_of, unpack
from pipeline.records import AnnotatedShard, ShardOutcome
from pipeline.rewrite import Changes, finish, rewriting
from pipeline.storage import Storage
from pipeline.tables import from_parquet, to_parquet

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
    commit = sound_commit(storage, shard)
    data: dict[str, bytes] = {}
    for file in commit["files"]:
        data[file["path"]] = _read(storage, file["path"])
        if hashlib.sha256(data[file["path"]]).hexdigest() != file["sha256"]:
            raise UsageError(damaged(file["path"], "has changed since it was committed"))
    images, faces = (
        _table(f"{name}/{shard}.parquet", data.get(f"{name}/{shard}.parquet", b""))
        for name in ("images", "faces")
    )
    pack = data.get(f"meshes/{shard}.tar")
    return CommittedShard(shard, commit, images, faces, {} if pack is None else {**unpack(pack)})


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
        raise UsageError(damaged(key, "is missing")) from None


def _table(key: str, data: bytes, columns: list[str] | None = None) -> pa.Table:
    try:
        table = from_parquet(data, columns)
    except (pa.ArrowInvalid, OSError):
        # Arrow says OSError of pages that do not unpack.
        raise UsageError(damaged(key, "is no sound Parquet file")) from None
    missing = set(columns or ()) - set(table.column_names)
    if missing:
        raise UsageError(damaged(key, f"has no column {', '.join(sorted(missing))}"))
    return table


def amend_shard(storage: Storage, shard: AnnotatedShard, fingerprint: str) -> ShardOutcome:
    """Puts the rows, faces and meshes of `shard` in place of those that its images had; the ledger keeps its order.

    Doing it again changes nothing more.

    Args:
        storage: of the output.
        shard: some images of a committed shard, annotated again.
        fingerprint: the run's.

    Returns:
        The counts of the images that were done again.

    Raises:
        UsageError: the committed shard is damaged, or does not hold these images.
    """
    finish(storage, shard.shard)
    old = read_shard(storage, shard.shard)
    uris = {record.uri for record in shard.images}
    fresh = ledger(shard.images)
    images = _exchanged(old.images, fresh)
    kept = old.faces.filter(pc.invert(_among(old.faces["uri"], uris)))
    schema = shard.faces.schema
    if not kept.schema.equals(schema) or kept.schema.metadata != schema.metadata:
        raise UsageError(f"faces/{shard.shard}.parquet was made by something else than what runs now")
    # Parquet gives the items of lists a name of its own; the cast gives them ours.
    faces = _ordered(pa.concat_tables([kept.cast(schema), shard.faces]), images)
    meshes = dict(old.meshes)
    if shard.meshes is not None:
        made = (glb_of(shard.meshes, index) for index in range(len(shard.meshes.names)))
        meshes |= {name: data for name, data in made if name not in meshes}
    with rewriting(storage, shard.shard) as changes:
        put_shard(changes, old, images, faces, meshes, fingerprint)
    return ShardOutcome(
        shard=shard.shard,
        images=fresh.num_rows,
        faces=shard.faces.num_rows,
        meshes=len(shard.meshes.names) if shard.meshes is not None else 0,
        statuses=Counter(record.status for record in shard.images),
    )


def put_shard(
    changes: Changes,
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
        files[f"meshes/{shard}.tar"] = tar_of(used)
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


def remove_shard(changes: Changes, old: CommittedShard) -> None:
    """Adds to `changes` what it takes for `old` to be gone."""
    changes.remove(f"{FOLDER}/{old.shard}.json", *(file["path"] for file in old.commit["files"]))


def _among(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _exchanged(old: pa.Table, fresh: pa.Table) -> pa.Table:
    """`old` with the rows of `fresh` in place of those of the same URI, in order."""
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for index, uri in enumerate(fresh["uri"].to_pylist()):
        waiting[uri].append(old.num_rows + index)
    uris = old["uri"].to_pylist()
    if Counter(uri for uri in uris if uri in waiting) != {uri: len(rows) for uri, rows in waiting.items()}:
        raise UsageError("the images that were done again are not those of the committed shard")
    order = [waiting[uri].popleft() if uri in waiting else index for index, uri in enumerate(uris)]
    return pa.concat_tables([old, fresh]).take(pa.array(order, pa.int64()))


def _ordered(faces: pa.Table, images: pa.Table) -> pa.Table:
    """Faces in the order of their images; those of one image keep theirs."""
    place = {uri: index for index, uri in reversed(list(enumerate(images["uri"].to_pylist())))}
    uris = faces["uri"].to_pylist()
    order = sorted(range(len(uris)), key=lambda row: place[uris[row]])
    return faces.take(pa.array(order, pa.int64()))
