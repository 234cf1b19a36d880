"""The manifest: images cut into shards, once and for all."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import ShardConfig
from pipeline.records import ShardTask
from pipeline.storage import Entry, Storage
from schemas import manifest_schema

FOLDER = "manifest"


def shard_size(images: int, workers: int, config: ShardConfig) -> int:
    """Images per shard: enough shards to keep `workers` busy to the end, few enough that each is worth its start."""
    return max(config.min_images, min(config.max_images, -(-images // (8 * max(workers, 1)))))


@dataclass(frozen=True)
class Manifest:
    """All images that the run knows, by shard, in the order of their ids."""

    tasks: tuple[ShardTask, ...]
    generations: int

    @property
    def n_images(self) -> int:
        return sum(len(task.images) for task in self.tasks)


def read_manifest(storage: Storage) -> Manifest:
    """Reads every manifest file of a run; empty if there is none."""
    keys = [key for key in storage.keys(FOLDER) if key.endswith(".parquet")]
    tasks: list[ShardTask] = []
    for key in keys:
        table = pq.read_table(io.BytesIO(storage.read(key)))
        shards: dict[str, list[Entry]] = {}
        for row in table.to_pylist():
            shards.setdefault(row["shard"], []).append(Entry(row["uri"], row["size"], row["etag"]))
        tasks += [ShardTask(shard, tuple(entries)) for shard, entries in shards.items()]
    return Manifest(tuple(sorted(tasks, key=lambda task: task.shard)), len(keys))


def new_images(manifest: Manifest, images: list[Entry]) -> list[Entry]:
    """Those of `images` that the manifest does not know, or knows with another size or etag."""
    known = {entry for task in manifest.tasks for entry in task.images}
    return [entry for entry in images if entry not in known]


def extend_manifest(storage: Storage, manifest: Manifest, fresh: list[Entry], size: int) -> Manifest:
    """Adds shards of `size` images for `fresh` ones; known images keep their shard.

    The new file is named by its generation, its shards by generation and number: an id never means two things.
    """
    if not fresh:
        return manifest
    generation = manifest.generations
    tasks = [
        ShardTask(f"{generation:04d}-{number:06d}", tuple(fresh[start : start + size]))
        for number, start in enumerate(range(0, len(fresh), size))
    ]
    columns = {
        "uri": [entry.uri for entry in fresh],
        "size": [entry.size for entry in fresh],
        "etag": [entry.etag for entry in fresh],
        "shard": [task.shard for task in tasks for _ in task.images],
    }
    table = pa.table(columns, schema=manifest_schema())
    storage.write(f"{FOLDER}/{generation:04d}.parquet", to_parquet(table))
    return Manifest((*manifest.tasks, *tasks), generation + 1)


def to_parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a zstd-compressed Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
