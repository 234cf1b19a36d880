from __future__ import annotations

from pathlib import Path

from pipeline.config import ShardConfig
from pipeline.shards import extend_manifest, new_images, read_manifest, shard_size
from pipeline.storage import Entry, Storage


def entries(*names: str, etag: str = "1") -> list[Entry]:
    return [Entry(f"/photos/{name}.png", 10, etag) for name in names]


def test_shards_keep_the_workers_busy_within_bounds() -> None:
    config = ShardConfig()
    assert shard_size(10, 2, config) == 16
    assert shard_size(1600, 2, config) == 100
    assert shard_size(10_000_000, 8, config) == 1000
    assert shard_size(0, 0, config) == 16


def test_every_image_is_in_one_shard_and_the_manifest_reads_back(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    images = entries(*"abcdefg")
    written = extend_manifest(storage, read_manifest(storage), images, 3)
    assert [task.shard for task in written.tasks] == ["0000-000000", "0000-000001", "0000-000002"]
    assert [entry for task in written.tasks for entry in task.images] == images
    assert read_manifest(storage) == written


def test_later_images_get_new_shards_and_known_ones_keep_theirs(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    first = extend_manifest(storage, read_manifest(storage), entries(*"bd"), 1)
    listed = entries(*"abcd")
    fresh = new_images(first, listed)
    assert fresh == entries(*"ac")
    second = extend_manifest(storage, first, fresh, 16)
    assert second.tasks[:2] == first.tasks
    assert second.tasks[2].shard == "0001-000000"
    assert new_images(second, listed) == []
    assert extend_manifest(storage, second, [], 16) is second
    assert read_manifest(storage) == second


def test_a_changed_file_is_new(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    manifest = extend_manifest(storage, read_manifest(storage), entries("a", "b"), 16)
    assert new_images(manifest, entries("a", etag="2") + entries("b")) == entries("a", etag="2")
    assert new_images(manifest, [Entry("/photos/a.png", 11, "1")]) == [Entry("/photos/a.png", 11, "1")]
