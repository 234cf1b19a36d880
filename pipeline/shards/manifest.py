"""The manifest: the images of an output, cut into shards for good. It grows in parts, each of them written once.

A part is `manifest/GENERATION-PART.parquet` with one row group per shard. A generation is one call of `annotate` that
listed new images; its shards are numbered through all of its parts. So no id is given twice, whenever a run dies.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import ShardConfig
from pipeline.errors import UsageError, describe
from pipeline.shards.digests import DigestSet, entry_digest
from pipeline.shards.shard import ShardRef, ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.storage.tables import open_parquet_bytes, read_row_group
from schemas import manifest_schema

MANIFEST = "manifest"
COMPLETE = b"facegpt_whole_containers"
"""Metadata key of a part: digests of the tars and Parquet files whose images all stand in it and in those before it."""


def shard_size(images: int, workers: int, config: ShardConfig) -> int:
    """Chooses the images per shard: enough shards to keep `workers` busy to the end, few enough to be worth it."""
    return max(config.min_images, min(config.max_images, -(-images // (8 * max(workers, 1)))))


@dataclass(frozen=True)
class Manifest:
    """All shards of an output, in the order of their ids; `generations`: the number of the next generation."""

    shards: tuple[ShardRef, ...]
    generations: int

    @property
    def n_images(self) -> int:
        """Number of images in all shards."""
        return sum(ref.n_images for ref in self.shards)


def read_manifest(storage: Storage) -> Manifest:
    """Reads where the shards lie in the manifest, and no image; empty if there is no manifest.

    Raises:
        UsageError: a part of it is damaged.
    """
    refs: list[ShardRef] = []
    generations = 0
    for key in _part_keys(storage):
        generations = max(generations, 1 + _generation(key))
        refs += _read_refs(key, open_part(storage, key))
    return Manifest(tuple(sorted(refs, key=lambda ref: ref.shard)), generations)


def read_digests(storage: Storage) -> tuple[DigestSet, set[bytes]]:
    """Reads the digests of all images in the manifest, and those of the containers that are complete in it."""
    images, complete = DigestSet(), set[bytes]()
    for key in _part_keys(storage):
        file = open_part(storage, key)
        for batch in file.iter_batches(10_000, columns=["uri", "size", "etag"]):
            rows = zip(*(batch.column(name).to_pylist() for name in ("uri", "size", "etag")), strict=True)
            images.add(Entry(*row) for row in rows)
        containers = (file.schema_arrow.metadata or {}).get(COMPLETE, b"[]")
        complete.update(bytes.fromhex(digest) for digest in json.loads(containers))
    return images, complete


def write_part(
    storage: Storage, generation: int, part: int, tasks: Sequence[ShardTask], complete: Sequence[Entry] = ()
) -> list[ShardRef]:
    """Writes one part of the manifest, and returns where its shards lie.

    Args:
        storage: of the output.
        generation: a number that no part had before this run.
        part: counts from 0 within the generation.
        tasks: the shards, with ids of this generation.
        complete: containers whose images all stand in this part and those before it.
    """
    key = f"{MANIFEST}/{generation:04d}-{part:05d}.parquet"
    schema = manifest_schema()
    if complete:
        containers = json.dumps([entry_digest(container).hex() for container in complete])
        schema = schema.with_metadata({**schema.metadata, COMPLETE: containers.encode()})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for task in tasks:
            columns = {
                "uri": [entry.uri for entry in task.images],
                "size": [entry.size for entry in task.images],
                "etag": [entry.etag for entry in task.images],
                "shard": [task.shard] * len(task.images),
            }
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(task.images))
    storage.write(key, sink.getvalue())
    return [ShardRef(task.shard, key, group, len(task.images)) for group, task in enumerate(tasks)]


def shard_id(generation: int, number: int) -> str:
    """Formats the id of a shard; ids sort by generation, then by number."""
    return f"{generation:04d}-{number:06d}"


def open_part(storage: Storage, key: str) -> Any:
    """Opens a part of the manifest as a Parquet file; raises UsageError if it is damaged."""
    try:
        file = open_parquet_bytes(storage.read(key))
    except pa.ArrowInvalid as error:
        raise UsageError(_damage_message(storage, key, f"cannot be read ({describe(error)})")) from None
    missing = set(manifest_schema().names) - set(file.schema_arrow.names)
    if missing:
        raise UsageError(_damage_message(storage, key, f"has no column {', '.join(sorted(missing))}"))
    return file


class ShardLoader:
    """Reader of shards' images from the manifest; it keeps the part that it read last, since neighbours lie in it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._open_part: tuple[str, Any] | None = None

    def __call__(self, ref: ShardRef) -> ShardTask:
        """Reads the images of a shard, in the manifest's order.

        Raises:
            OSError: the part cannot be read.
            ValueError: it does not hold the shard.
        """
        if self._open_part is None or self._open_part[0] != ref.manifest_key:
            self._open_part = ref.manifest_key, open_part(self.storage, ref.manifest_key)
        rows = read_row_group(self._open_part[1], ref.row_group).to_pylist()
        images = tuple(
            Entry(row["uri"], row["size"], row["etag"]) for row in rows if row["shard"] == ref.shard
        )
        if len(images) != ref.n_images:
            raise ValueError(
                f"{ref.manifest_key} holds {len(images)} images of {ref.shard}, not {ref.n_images}"
            )
        return ShardTask(ref.shard, images)


def _part_keys(storage: Storage) -> list[str]:
    """Lists the keys of the manifest's parts, in the order of generations and parts."""
    return [key for key in storage.keys(MANIFEST) if key.endswith(".parquet")]


def _generation(key: str) -> int:
    """Returns the generation in a part's key, zero where there is none."""
    match = re.match(r"\d+", key.removeprefix(f"{MANIFEST}/"))
    return int(match[0]) if match else 0


def _damage_message(storage: Storage, key: str, damage: str) -> str:
    """Formats the error line for a damaged part of the manifest."""
    return (
        f"{storage.uri(key)} {damage}: nothing else says which images OUTPUT knows, so put this file back as it was, "
        "or start again with a new OUTPUT or `annotate --replace`"
    )


def _read_refs(key: str, file: Any) -> Iterator[ShardRef]:
    """Yields the shards of a part, from the statistics in its footer.

    A row group of several shards, as early versions wrote them, is read and counted.
    """
    column = file.schema_arrow.get_field_index("shard")
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group)
        statistics = rows.column(column).statistics
        if statistics is not None and statistics.has_min_max and statistics.min == statistics.max:
            yield ShardRef(str(statistics.min), key, group, rows.num_rows)
            continue
        shards = read_row_group(file, group, ["shard"])["shard"].value_counts()
        for pair in shards.to_pylist():
            yield ShardRef(pair["values"], key, group, pair["counts"])
