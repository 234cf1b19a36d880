"""The manifest: images cut into shards, once and for all. It grows in parts, each of them written once.

A part is `manifest/GENERATION-PART.parquet` with one row group per shard. A generation is one call of `annotate` that
found something new; its shards are numbered through all of its parts. So an id never means two things, whenever a run
dies.
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
from pipeline.shards.digests import KnownImages, digest
from pipeline.shards.shard import ShardRef, ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.storage.tables import open_bytes, read_group
from schemas import manifest_schema

FOLDER = "manifest"
WHOLE = b"facegpt_whole_containers"
"""Metadata of a part: digests of the tars and Parquet files whose images all stand in this part and those before it."""


def shard_size(images: int, workers: int, config: ShardConfig) -> int:
    """Images per shard: enough shards to keep `workers` busy to the end, few enough that each is worth its start."""
    return max(config.min_images, min(config.max_images, -(-images // (8 * max(workers, 1)))))


@dataclass(frozen=True)
class Manifest:
    """All shards that the run knows, in the order of their ids; `generations`: the number that the next one has."""

    shards: tuple[ShardRef, ...]
    generations: int

    @property
    def n_images(self) -> int:
        return sum(ref.n_images for ref in self.shards)


def read_manifest(storage: Storage) -> Manifest:
    """Reads where the shards of a run are, and no image; empty if there is no manifest.

    Raises:
        UsageError: a part of it is damaged.
    """
    refs: list[ShardRef] = []
    generations = 0
    for key in _parts(storage):
        generations = max(generations, 1 + _generation(key))
        refs += _refs(key, open_part(storage, key))
    return Manifest(tuple(sorted(refs, key=lambda ref: ref.shard)), generations)


def read_known(storage: Storage) -> tuple[KnownImages, set[bytes]]:
    """The images that the manifest knows, and the digests of the containers that it knows whole."""
    known, whole = KnownImages(), set[bytes]()
    for key in _parts(storage):
        file = open_part(storage, key)
        for batch in file.iter_batches(10_000, columns=["uri", "size", "etag"]):
            rows = zip(*(batch.column(name).to_pylist() for name in ("uri", "size", "etag")), strict=True)
            known.add(Entry(*row) for row in rows)
        listed = (file.schema_arrow.metadata or {}).get(WHOLE, b"[]")
        whole.update(bytes.fromhex(one) for one in json.loads(listed))
    return known, whole


def write_part(
    storage: Storage, generation: int, part: int, tasks: Sequence[ShardTask], whole: Sequence[Entry] = ()
) -> list[ShardRef]:
    """Writes one part of the manifest, and says where its shards are.

    Args:
        storage: of the output.
        generation: a number that no part had before this run.
        part: counts from 0 within the generation.
        tasks: the shards, with ids of this generation.
        whole: containers whose images all stand in this part and those before it.
    """
    key = f"{FOLDER}/{generation:04d}-{part:05d}.parquet"
    schema = manifest_schema()
    if whole:
        listed = json.dumps([digest(container).hex() for container in whole])
        schema = schema.with_metadata({**schema.metadata, WHOLE: listed.encode()})
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


def extend_manifest(storage: Storage, manifest: Manifest, fresh: Sequence[Entry], size: int) -> Manifest:
    """Adds a generation of one part: shards of `size` images, none of which the manifest knows."""
    if not fresh:
        return manifest
    generation = manifest.generations
    tasks = [
        ShardTask(shard_id(generation, number), tuple(fresh[start : start + size]))
        for number, start in enumerate(range(0, len(fresh), size))
    ]
    return Manifest((*manifest.shards, *write_part(storage, generation, 0, tasks)), generation + 1)


def shard_id(generation: int, number: int) -> str:
    return f"{generation:04d}-{number:06d}"


def open_part(storage: Storage, key: str) -> Any:
    """A part of the manifest as a Parquet file; raises UsageError if it is damaged."""
    try:
        file = open_bytes(storage.read(key))
    except pa.ArrowInvalid as error:
        raise UsageError(_damaged(storage, key, f"cannot be read ({describe(error)})")) from None
    missing = set(manifest_schema().names) - set(file.schema_arrow.names)
    if missing:
        raise UsageError(_damaged(storage, key, f"has no column {', '.join(sorted(missing))}"))
    return file


class ShardLoader:
    """Reads the images of shards from the manifest; keeps the part that it read last, since neighbours lie in it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._last: tuple[str, Any] | None = None

    def __call__(self, ref: ShardRef) -> ShardTask:
        """The shard with its images, in the manifest's order.

        Raises:
            OSError: the part cannot be read.
            ValueError: it does not hold the shard.
        """
        if self._last is None or self._last[0] != ref.manifest_key:
            self._last = ref.manifest_key, open_part(self.storage, ref.manifest_key)
        rows = read_group(self._last[1], ref.row_group).to_pylist()
        images = tuple(
            Entry(row["uri"], row["size"], row["etag"]) for row in rows if row["shard"] == ref.shard
        )
        if len(images) != ref.n_images:
            raise ValueError(
                f"{ref.manifest_key} holds {len(images)} images of {ref.shard}, not {ref.n_images}"
            )
        return ShardTask(ref.shard, images)


def _parts(storage: Storage) -> list[str]:
    return [key for key in storage.keys(FOLDER) if key.endswith(".parquet")]


def _generation(key: str) -> int:
    found = re.match(r"\d+", key.removeprefix(f"{FOLDER}/"))
    return int(found[0]) if found else 0


def _damaged(storage: Storage, key: str, what: str) -> str:
    return (
        f"{storage.uri(key)} {what}: nothing else says which images OUTPUT knows, so put this file back as it was, or "
        "start again with a new OUTPUT or `annotate --replace`"
    )


def _refs(key: str, file: Any) -> Iterator[ShardRef]:
    """From the statistics in the footer; a row group of several shards, as early versions wrote them, is counted."""
    column = file.schema_arrow.get_field_index("shard")
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group)
        said = rows.column(column).statistics
        if said is not None and said.has_min_max and said.min == said.max:
            yield ShardRef(str(said.min), key, group, rows.num_rows)
            continue
        shards = read_group(file, group, ["shard"])["shard"].value_counts()
        for pair in shards.to_pylist():
            yield ShardRef(pair["values"], key, group, pair["counts"])
