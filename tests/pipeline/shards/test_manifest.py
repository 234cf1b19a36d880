from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from manifests import add_shards

from pipeline.config import ShardConfig
from pipeline.shards.digests import entry_digest
from pipeline.shards.manifest import (
    Manifest,
    ShardLoader,
    read_digests,
    read_manifest,
    shard_size,
    write_part,
)
from pipeline.shards.shard import ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.storage.tables import to_parquet
from schemas import manifest_schema


def entries(*names: str, etag: str = "1") -> list[Entry]:
    return [Entry(f"/photos/{name}.png", 10, etag) for name in names]


def images(storage: Storage, manifest: Manifest) -> dict[str, list[Entry]]:
    load = ShardLoader(storage)
    return {ref.shard: list(load(ref).images) for ref in manifest.shards}


def test_shards_keep_the_workers_busy_within_bounds() -> None:
    config = ShardConfig()
    assert shard_size(10, 2, config) == 16
    assert shard_size(1600, 2, config) == 100
    assert shard_size(10_000_000, 8, config) == 1000
    assert shard_size(0, 0, config) == 16


def test_every_image_is_in_one_shard_and_the_manifest_reads_back(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    tasks = [
        ShardTask(f"0000-00000{number}", tuple(entries(*names)))
        for number, names in enumerate(("abc", "def", "g"))
    ]
    written = Manifest(tuple(write_part(storage, 0, 0, tasks)), generations=1)
    assert images(storage, written) == {
        "0000-000000": entries(*"abc"),
        "0000-000001": entries(*"def"),
        "0000-000002": entries("g"),
    }
    assert [ref.n_images for ref in written.shards] == [3, 3, 1]
    assert written.n_images == 7
    assert read_manifest(storage) == written


def test_a_later_generation_goes_on_after_parts_that_a_dead_run_left(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    for part in range(2):
        write_part(storage, 0, part, [ShardTask(f"0000-00000{part}", tuple(entries("ab"[part])))])
    manifest = add_shards(storage, entries("c"), 16)
    assert [ref.shard for ref in manifest.shards] == ["0000-000000", "0000-000001", "0001-000000"]
    assert [ref.manifest_key for ref in manifest.shards] == [
        "manifest/0000-00000.parquet",
        "manifest/0000-00001.parquet",
        "manifest/0001-00000.parquet",
    ]
    assert read_manifest(storage) == manifest
    assert read_manifest(storage).generations == 2


def test_what_a_manifest_knows_is_known_by_uri_size_and_etag(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    add_shards(storage, entries("a", "b"), 16)
    digests, _ = read_digests(storage)
    changed = [*entries("a", etag="2"), Entry("/photos/a.png", 11, "1"), Entry("/photos/a.png", None, "1")]
    assert digests.add_new([*entries("a", "b"), *changed]) == changed
    assert digests.add_new(changed) == []


def test_containers_that_were_read_whole_are_known(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    container = Entry("/photos/a.tar", 10, "1")
    write_part(storage, 0, 0, [ShardTask("0000-000000", tuple(entries("a")))], [container])
    write_part(storage, 0, 1, [ShardTask("0000-000001", tuple(entries("b")))])
    assert read_digests(storage)[1] == {entry_digest(container)}


def test_a_manifest_with_several_shards_in_a_row_group_is_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    columns = [
        ["/a", "/b", "/c"],
        [1, 2, None],
        ["1", None, "3"],
        ["0000-000000", "0000-000000", "0000-000001"],
    ]
    storage.write("manifest/0000.parquet", to_parquet(pa.table(columns, schema=manifest_schema())))
    manifest = read_manifest(storage)
    assert manifest.generations == 1
    assert images(storage, manifest) == {
        "0000-000000": [Entry("/a", 1, "1"), Entry("/b", 2, None)],
        "0000-000001": [Entry("/c", None, "3")],
    }


def test_a_manifest_that_does_not_hold_the_shard_is_an_error(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (ref,) = add_shards(storage, entries("a"), 16).shards
    write_part(storage, 0, 0, [ShardTask("0000-000009", tuple(entries("b")))])
    with pytest.raises(ValueError, match="holds 0 images of 0000-000000, not 1"):
        ShardLoader(storage)(ref)
