"""Forgetting images: they are removed from every table and tar of an output for good, and tombstones written."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
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
from pipeline.shards.manifest import MANIFEST, open_part
from pipeline.shards.tombstones import TOMBSTONES, read_tombstones, tombstone_table
from pipeline.storage.journal import Rewrite, replay_journal, rewrite_atomically
from pipeline.storage.locations import Entry, normalize
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage
from pipeline.storage.tables import is_among, read_row_group, to_parquet
from pipeline.upkeep.repair import sweep

READERS = 16
REPORT = "report"
REDACTED = "(forgotten)"
IMAGE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class ForgetSummary:
    """Counts of what was removed: distinct images, their rows in the ledger, faces, and shards that were rewritten.

    `forgotten_before`: how many of the images had been forgotten by an earlier call. `report`: whether a report was
    removed. `notes`: what else was done, a line for each.
    """

    images: int
    rows: int
    faces: int
    shards: int
    forgotten_before: int
    report: bool
    notes: tuple[str, ...]


def forget(storage: Storage, image_ids: Collection[str]) -> ForgetSummary:
    """Removes images and all their copies from the ledger, `faces`, the meshes, the manifest and run.json.

    All of it takes effect at once, or not at all.

    Args:
        storage: of the output.
        image_ids: as in the tables.

    Raises:
        UsageError: there is no run, or another command is at work on it; an image is not in it; or the output cannot
            be written.
    """
    existing_run(storage)
    with run_lock(storage):
        return _forget(storage, image_ids)


def _forget(storage: Storage, image_ids: Collection[str]) -> ForgetSummary:
    """Removes the images and writes their tombstones. The caller holds the run's lock."""
    notes = replay_journal(storage)
    tombstones = read_tombstones(storage)
    wanted = {image_id.lower() for image_id in image_ids}
    rows = _find_rows(storage, wanted)
    present = {row["image_id"] for shard_rows in rows.values() for row in shard_rows}
    forgotten_before = (wanted - present) & tombstones.image_ids
    missing = sorted(wanted - present - forgotten_before)
    if missing:
        raise UsageError(_missing_message(storage, missing))
    record = existing_run(storage)
    report = storage.keys(REPORT) if rows else []
    faces = 0
    try:
        if rows:
            with rewrite_atomically(storage, "forget") as rewrite:
                faces = sum(_forget_in_shard(storage, rewrite, shard, present) for shard in rows)
                entries = _rewrite_manifest(storage, rewrite, rows)
                rewrite.write(
                    f"{TOMBSTONES}/{tombstones.files:04d}.parquet", to_parquet(tombstone_table(entries))
                )
                _redact_inputs(rewrite, record, {entry.uri for _, entry in entries})
                rewrite.remove(*report)
        # What processes that died left behind may hold the image as well.
        notes += sweep(storage)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"cannot change OUTPUT {storage.root}: {type(error).__name__}: {describe_with_path(error)}; "
            "put that right, and the same command again goes on from here"
        ) from error
    return ForgetSummary(
        images=len(present),
        rows=sum(len(shard_rows) for shard_rows in rows.values()),
        faces=faces,
        shards=len(rows),
        forgotten_before=len(forgotten_before),
        report=bool(report),
        notes=tuple(notes),
    )


def _missing_message(storage: Storage, missing: list[str]) -> str:
    """Formats the error line for images that are neither in the output nor forgotten."""
    others = f" (nor {len(missing) - 1} others)" if len(missing) > 1 else ""
    hint = (
        "" if IMAGE_ID.fullmatch(missing[0]) else "; an IMAGE_ID is 32 hex digits, as in the column image_id"
    )
    return f"no image {missing[0]!r} in {storage.root}{others}; nothing was forgotten{hint}"


def _find_rows(storage: Storage, image_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Finds the ledger rows (`image_id`, `uri`) of images, by shard."""
    shards = committed_shards(storage)
    with ThreadPoolExecutor(READERS) as pool:
        rows_by_shard = zip(
            shards, pool.map(partial(_rows_in_shard, storage, image_ids), shards), strict=True
        )
        return {shard: rows for shard, rows in rows_by_shard if rows}


def _rows_in_shard(storage: Storage, image_ids: set[str], shard: str) -> list[dict[str, Any]]:
    """Finds the ledger rows (`image_id`, `uri`) of images in one shard."""
    table = read_ledger(storage, shard, ["image_id", "uri"])
    rows: list[dict[str, Any]] = table.filter(is_among(table["image_id"], image_ids)).to_pylist()
    return rows


def _forget_in_shard(storage: Storage, rewrite: Rewrite, shard: str, image_ids: set[str]) -> int:
    """Adds one shard without the images to `rewrite`; returns how many faces are removed with them."""
    old = read_shard(storage, shard)
    images, faces = (
        table.filter(pc.invert(is_among(table["image_id"], image_ids))) for table in (old.images, old.faces)
    )
    if images.num_rows:
        fingerprint = str(old.commit["fingerprint"])
        rewrite_shard(rewrite, old, images=images, faces=faces, meshes=old.meshes, fingerprint=fingerprint)
    else:
        remove_shard(rewrite, old)
    return int(old.faces.num_rows - faces.num_rows)


def _rewrite_manifest(
    storage: Storage, rewrite: Rewrite, rows_by_shard: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, Entry]]:
    """Adds the manifest without these ledger rows to `rewrite`; returns the ids and entries of their images.

    A part of the manifest that holds no image any more stays, empty: generations are numbered by the parts.
    """
    ids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for shard, rows in rows_by_shard.items():
        for row in rows:
            ids[shard, row["uri"]].append(row["image_id"])
    removed: list[tuple[str, Entry]] = []
    for key in storage.keys(MANIFEST):
        count_before, sink = len(removed), io.BytesIO()
        file = open_part(storage, key)
        with pq.ParquetWriter(sink, file.schema_arrow, compression="zstd") as writer:
            # Group by group: where a group is a shard, it stays one.
            for group in range(file.num_row_groups):
                writer.write_table(_split_rows(read_row_group(file, group), ids, removed))
        if len(removed) > count_before:
            rewrite.write(key, sink.getvalue())
    unlisted = sum(map(len, ids.values()))
    if unlisted:
        raise UsageError(
            f"the manifest does not list {unlisted} of these images; see `facegpt verify {storage.root}`"
        )
    return removed


def _split_rows(
    table: pa.Table, ids: dict[tuple[str, str], list[str]], removed: list[tuple[str, Entry]]
) -> pa.Table:
    """Returns the rows of a part of the manifest that stay, and moves the others from `ids` to `removed`.

    Args:
        table: rows of the manifest.
        ids: of the images to remove, by shard and URI; emptied as they are met.
        removed: ids and entries of the images that were removed.
    """
    keep = [True] * table.num_rows
    shards = {shard for shard, _ in ids}
    candidates = is_among(table["shard"], shards).to_numpy().nonzero()[0].tolist()
    rows = table.take(pa.array(candidates, pa.int64())).to_pylist()
    for index, row in zip(candidates, rows, strict=True):
        remaining = ids.get((row["shard"], row["uri"]))
        if remaining:
            removed.append((remaining.pop(), Entry(row["uri"], row["size"], row["etag"])))
            keep[index] = False
    return table.filter(pa.array(keep, pa.bool_()))


def _redact_inputs(rewrite: Rewrite, record: dict[str, Any], uris: set[str]) -> None:
    """Adds run.json to `rewrite`, without the inputs that were just one of these images."""
    has_changed = False
    for invocation in record["invocations"]:
        if "input" in invocation and _normalize_input(invocation["input"]) in uris:
            invocation["input"], has_changed = REDACTED, True
    if has_changed:
        rewrite.write(KEY, json.dumps(record, indent=1).encode())


def _normalize_input(text: str) -> str:
    """Normalizes an input as run.json has it; what is no location stays as it is."""
    try:
        return normalize(text)
    except UsageError:
        return text
