from __future__ import annotations

from pathlib import Path

from pipeline.config import ShardConfig
from pipeline.shards.cutter import PART_IMAGES, Cutter
from pipeline.shards.manifest import ShardLoader, read_digests, read_manifest
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def entries(count: int, start: int = 0) -> list[Entry]:
    return [Entry(f"/{number}.png", 1, "1") for number in range(start, start + count)]


def test_shards_grow_with_what_was_added(tmp_path: Path) -> None:
    clock = Clock()
    cutter = Cutter(Storage(str(tmp_path)), 0, 2, ShardConfig(), clock)
    sizes = []
    for start in range(0, 40_000, 1000):
        clock.now += 10
        sizes += [ref.n_images for ref in cutter.add(entries(1000, start))]
    sizes += [ref.n_images for ref in cutter.finish()]
    assert sizes[0] == 63
    assert sizes[:-1] == sorted(sizes[:-1])
    assert max(sizes) == 1000
    assert sum(sizes) == 40_000


def test_a_quick_listing_is_cut_by_its_count(tmp_path: Path) -> None:
    cutter = Cutter(Storage(str(tmp_path)), 3, 2, ShardConfig())
    refs = cutter.add(entries(1600)) + cutter.finish()
    assert [ref.n_images for ref in refs] == [100] * 16
    assert refs[15].shard == "0003-000015"


def test_parts_are_few_and_bounded_and_read_back_in_order(tmp_path: Path) -> None:
    storage, clock = Storage(str(tmp_path)), Clock()
    cutter = Cutter(storage, 0, 1, ShardConfig(), clock)
    refs = cutter.add(entries(1000))
    for second in range(1, 100):
        clock.now = second
        refs += cutter.add(entries(1000, 1000 * second))
    refs += cutter.finish()
    assert cutter.parts <= 40
    assert read_manifest(storage).shards == tuple(refs)
    load = ShardLoader(storage)
    assert [entry for ref in refs for entry in load(ref).images] == entries(100_000)
    at_once = Cutter(Storage(str(tmp_path / "b")), 0, 1, ShardConfig(), Clock())
    at_once.add(entries(3 * PART_IMAGES))
    assert at_once.parts >= 3


def test_a_container_is_whole_once_its_last_image_is_written(tmp_path: Path) -> None:
    storage, clock = Storage(str(tmp_path)), Clock()
    cutter = Cutter(storage, 0, 1, ShardConfig(), clock)
    assert cutter.add(entries(24), [Entry("/a.tar", 1, "1")])
    assert read_digests(storage)[1] == set()
    cutter.finish()
    assert len(read_digests(storage)[1]) == 1


def test_no_shard_holds_a_uri_twice(tmp_path: Path) -> None:
    cutter = Cutter(Storage(str(tmp_path)), 0, 1, ShardConfig())
    again = [Entry("/3.png", 1, "2")]
    refs = cutter.add([*entries(10), *again, *entries(5, 10)]) + cutter.finish()
    assert [ref.n_images for ref in refs] == [10, 6]
