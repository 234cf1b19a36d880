"""Manifests written in one step, by what `annotate` writes them with."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.shards.manifest import Manifest, read_manifest, shard_id, write_part
from pipeline.shards.shard import ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage


def add_shards(storage: Storage, images: Sequence[Entry], size: int) -> Manifest:
    """Adds a generation of one part to an output's manifest: shards of `size` images, the last one smaller."""
    generation = read_manifest(storage).generations
    tasks = [
        ShardTask(shard_id(generation, number), tuple(images[start : start + size]))
        for number, start in enumerate(range(0, len(images), size))
    ]
    write_part(storage, generation, 0, tasks)
    return read_manifest(storage)
