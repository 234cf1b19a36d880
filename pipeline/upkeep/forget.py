"""Taking images out of an output for good: out of every table and pack, with tombstones in their place."""

from __future__ import annotations

import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError, describe_with_path
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import KEY, existing_run
from pipeline.output.shard_files import read_ledger, read_shard, remove_shard, rewrite_shard
from pipeline.shards.manifest import FOLDER as MANIFEST
from pipeline.shards.manifest import open_part
from pipeline.shards.tombstones import FOLDER, read_tombstones, tombstone_table
from pipeline.storage.journal import Rewrite, replay_journal, rewrite_atomically
from pipeline.storage.locations import Entry, normalize
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage
from pipeline.storage.tables import read_row_group, to_parquet
from pipeline.upkeep.repair import sweep

READERS = 16
REPORT = "report"
NAMELESS = "(forgotten)"
IMAGE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Forgotten:
    """What `forget` took out: distinct images, their rows in the ledger, faces, and shards that were changed.

    `known`: how many of the images that were asked for had been forgotten before. `report`: whether one was removed.
    `said`: what else was done, a line for each.
    """

    images: int
    rows: int
    faces: int
    shards: int
    known: int
    report: bool
    said: tuple[str, ...]


def forget(storage: Storage, image_ids: Collection[str]) -> Forgotten:
    """Removes these images and all their copies from the ledger, `faces`, the meshes, the manifest and run.json.

    All of it takes effect at once, or not at all.

    Args:
        storage: of the output.
        image_ids: as in the tables.

    Raises:
        UsageError: there is no run, or another command is at work on it; an image is not known; or the output cannot be
            written.
    """
    existing_run(storage)
    with run_lock(storage):
        return _forget(storage, image_ids)


def _forget(storage: Storage, image_ids: Collection[str]) -> Forgotten:
    said = replay_journal(storage)
    tombstones = read_tombstones(storage)
    wanted = {image_id.lower() for image_id in image_ids}
    found = _find(storage, wanted)
    there = {row["image_id"] for rows in found.values() for row in rows}
    buried = (wanted - there) & tombstones.image_ids
    unknown = sorted(wanted - there - buried)
    if unknown:
        more = f" (nor {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        wants = (
            ""
            if IMAGE_ID.fullmatch(unknown[0])
            else "; an IMAGE_ID is 32 hex digits, as in the column image_id"
        )
        raise UsageError(f"no image {unknown[0]!r} in {storage.root}{more}; nothing was forgotten{wants}")
    record = existing_run(storage)
    report = storage.keys(REPORT) if found else []
    faces = 0
    try:
        if found:
            with rewrite_atomically(storage, "forget") as changes:
                faces = sum(_forget_in(storage, changes, shard, there) for shard in found)
                entries = _forget_listed(storage, changes, found)
                changes.write(
                    f"{FOLDER}/{tombstones.files:04d}.parquet", to_parquet(tombstone_table(entries))
                )
                _forget_inputs(changes, record, {entry.uri for _, entry in entries})
                changes.remove(*report)
        # What processes that died left behind may hold the image as well.
        said += sweep(storage)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"cannot change OUTPUT {storage.root}: {type(error).__name__}: {describe_with_path(error)}; "
            "put that right, and the same command again goes on from here"
        ) from error
    return Forgotten(
        images=len(there),
        rows=sum(len(rows) for rows in found.values()),
        faces=faces,
        shards=len(found),
        known=len(buried),
        report=bool(report),
        said=tuple(said),
    )


def _find(storage: Storage, image_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The ledger rows (`image_id`, `uri`) of these images, by shard."""
    shards = committed_shards(storage)
    with ThreadPoolExecutor(READERS) as pool:
        found = zip(shards, pool.map(partial(_rows, storage, image_ids), shards), strict=True)
        return {shard: rows for shard, rows in found if rows}


def _rows(storage: Storage, image_ids: set[str], shard: str) -> list[dict[str, Any]]:
    table = read_ledger(storage, shard, ["image_id", "uri"])
    rows: list[dict[str, Any]] = table.filter(_among(table["image_id"], image_ids)).to_pylist()
    return rows


def _among(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _forget_in(storage: Storage, changes: Rewrite, shard: str, image_ids: set[str]) -> int:
    """Takes the images out of one shard; returns how many faces went with them."""
    old = read_shard(storage, shard)
    images, faces = (
        table.filter(pc.invert(_among(table["image_id"], image_ids))) for table in (old.images, old.faces)
    )
    if images.num_rows:
        rewrite_shard(changes, old, images, faces, old.meshes, str(old.commit["fingerprint"]))
    else:
        remove_shard(changes, old)
    return int(old.faces.num_rows - faces.num_rows)


def _forget_listed(
    storage: Storage, changes: Rewrite, found: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, Entry]]:
    """Takes the images out of the manifest; returns their ids and what was listed of them.

    A file of the manifest that has nothing left stays, empty: shards are numbered by the files.
    """
    ids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for shard, rows in found.items():
        for row in rows:
            ids[shard, row["uri"]].append(row["image_id"])
    gone: list[tuple[str, Entry]] = []
    for key in storage.keys(MANIFEST):
        before, sink = len(gone), io.BytesIO()
        file = open_part(storage, key)
        with pq.ParquetWriter(sink, file.schema_arrow, compression="zstd") as writer:
            # Group by group: where a group is a shard, it stays one.
            for group in range(file.num_row_groups):
                writer.write_table(_kept(read_row_group(file, group), ids, gone))
        if len(gone) > before:
            changes.write(key, sink.getvalue())
    lost = Counter({key: len(left) for key, left in ids.items() if left})
    if lost:
        raise UsageError(
            f"the manifest does not list {lost.total()} of these images; see `facegpt verify {storage.root}`"
        )
    return gone


def _kept(table: pa.Table, ids: dict[tuple[str, str], list[str]], gone: list[tuple[str, Entry]]) -> pa.Table:
    """The rows of a part of the manifest that stay; the others are moved from `ids` to `gone`."""
    keep = [True] * table.num_rows
    shards = {shard for shard, _ in ids}
    maybe = _among(table["shard"], shards).to_numpy().nonzero()[0].tolist()
    for index, row in zip(maybe, table.take(pa.array(maybe, pa.int64())).to_pylist(), strict=True):
        waiting = ids.get((row["shard"], row["uri"]))
        if waiting:
            gone.append((waiting.pop(), Entry(row["uri"], row["size"], row["etag"])))
            keep[index] = False
    return table.filter(pa.array(keep, pa.bool_()))


def _forget_inputs(changes: Rewrite, record: dict[str, Any], uris: set[str]) -> None:
    """Takes an input that was just one of these images out of run.json."""
    touched = False
    for invocation in record["invocations"]:
        if "input" in invocation and _location(invocation["input"]) in uris:
            invocation["input"], touched = NAMELESS, True
    if touched:
        changes.write(KEY, json.dumps(record, indent=1).encode())


def _location(text: str) -> str:
    try:
        return normalize(text)
    except UsageError:
        return text
