"""A listing that becomes shards beside the work: what is new, when it is written, and what an error leaves behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tars import write_tar

from pipeline.config import ShardConfig
from pipeline.errors import UsageError
from pipeline.shards import cutter as cutter_module
from pipeline.shards import feed as feed_module
from pipeline.shards.feed import Feed
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

CONFIG = ShardConfig(min_images=2, max_images=4)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.png").write_bytes(b"x")
    return folder


def fed(output: Path, location: Path, workers: int = 1, **options: Any) -> list[str]:
    """Runs a feed to its end; the images' names that its shards hold."""
    storage = Storage(str(output))
    load = ShardLoader(storage)
    with Feed(storage, str(location), CONFIG, **options) as feed:
        feed.wait()
        feed.settle()
        feed.start(workers)
        return [entry.uri.rsplit("/", 1)[1] for ref in feed for entry in load(ref).images]


def all_images(output: Path) -> list[str]:
    storage = Storage(str(output))
    load = ShardLoader(storage)
    return [entry.uri for ref in read_manifest(storage).shards for entry in load(ref).images]


def test_everything_once_and_the_next_time_what_is_new_or_changed(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert fed(output, photos) == [f"{number}.png" for number in range(10)]
    assert [ref.n_images for ref in read_manifest(Storage(str(output))).shards] == [2] * 5
    assert fed(output, photos) == []
    (photos / "5a.png").write_bytes(b"x")
    os.utime(photos / "7.png", ns=(1, 2))
    assert fed(output, photos) == ["5a.png", "7.png"]
    assert [ref.shard for ref in read_manifest(Storage(str(output))).shards][-1] == "0001-000000"
    assert fed(output, photos) == []


def test_a_limit_counts_known_images_too(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert fed(output, photos, limit=3) == ["0.png", "1.png", "2.png"]
    assert fed(output, photos, limit=5) == ["3.png", "4.png"]


def test_what_shall_be_skipped_is_in_no_shard(photos: Path, tmp_path: Path) -> None:
    found = fed(tmp_path / "out", photos, skip=lambda entry: entry.uri.endswith(("3.png", "8.png")))
    assert found == [f"{number}.png" for number in range(10) if number not in (3, 8)]


def test_anew_takes_no_notice_of_the_manifest(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    fed(output, photos)
    assert len(fed(output, photos, ignore_manifest=True)) == 10


def test_a_list_with_duplicate_lines_gives_each_image_once(photos: Path, tmp_path: Path) -> None:
    (photos / "list.txt").write_text("0.png\n1.png\n./0.png\ngone.png\ngone.png\n")
    assert fed(tmp_path / "out", photos / "list.txt") == ["0.png", "1.png", "gone.png"]


@pytest.mark.parametrize("location", ["nowhere", "empty"])
def test_an_input_that_cannot_be_used_leaves_the_output_untouched(tmp_path: Path, location: str) -> None:
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(UsageError),
        Feed(Storage(str(tmp_path / "out")), str(tmp_path / location), CONFIG) as feed,
    ):
        feed.wait()
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_before_the_start(photos: Path, tmp_path: Path) -> None:
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        assert feed.wait()
        feed.settle()
        assert (feed.is_listed, feed.new_images, feed.counts.images) == (True, 10, 10)
        assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out").exists()


class Slow:
    """A listing that goes on when it is told to, and ends as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *chunks: list[str], error: str = "") -> None:
        self.chunks = chunks
        self.error = error
        self.gates = [threading.Event() for _ in range(len(chunks) + 1)]
        monkeypatch.setattr(feed_module, "SETTLE_SECONDS", 0.0)
        monkeypatch.setattr(feed_module, "FLUSH_SECONDS", 0.01)
        monkeypatch.setattr(feed_module.Listing, "__iter__", lambda listing: self.run())

    def run(self) -> Iterator[list[Entry]]:
        for gate, chunk in zip(self.gates, self.chunks, strict=False):
            gate.wait()
            yield [Entry(f"/{name}.png", 1, "1") for name in chunk]
        self.gates[-1].wait()
        if self.error:
            raise UsageError(self.error)

    def allow(self, *numbers: int) -> None:
        for number in numbers:
            self.gates[number].set()


def test_work_starts_before_the_listing_ends(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, ["a", "b", "c"], ["d"], ["e", "f", "g", "h"])
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        slow.allow(0)
        feed.wait()
        feed.settle()
        feed.start(1)
        # What is listed by now is cut at once, and does not wait for the listing's next word.
        assert [ref.n_images for ref in feed.wave(1)] == [2]
        slow.allow(1)
        assert [ref.n_images for ref in feed.wave(1)] == [2]
        assert not feed.is_listed
        slow.allow(2, 3)
        assert [ref.shard for ref in feed.wave(8)] == ["0000-000002", "0000-000003"]
        assert feed.wave(8) == []
        assert feed.is_listed


def test_shards_that_are_cut_are_written_when_nobody_has_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter_module, "WRITE_SHARE", 10.0)
    slow = Slow(monkeypatch, ["a", "b"], ["c", "d"])
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        feed.start(1)
        slow.allow(0)
        assert [ref.n_images for ref in feed.wave(1)] == [2]
        assert not feed.is_listed
        slow.allow(1, 2)
        assert [ref.n_images for ref in feed] == [2]


def test_a_run_that_dies_while_it_lists_loses_nothing_and_repeats_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    slow = Slow(monkeypatch, ["a", "b", "c"], ["d", "e", "f"])
    with Feed(Storage(str(output)), str(photos), CONFIG) as feed:
        feed.start(1)
        slow.allow(0)
        assert [ref.n_images for ref in feed.wave(1)] == [2]
        slow.allow(1, 2)
        monkeypatch.setattr(feed_module.Cutter, "finish", lambda cutter: [])
    before = all_images(output)
    monkeypatch.undo()
    again = Slow(monkeypatch, ["a", "b", "c"], ["d", "e", "f"])
    again.allow(0, 1, 2)
    fed(output, photos)
    everything = all_images(output)
    assert everything[: len(before)] == before
    assert sorted(everything) == [f"/{name}.png" for name in "abcdef"]
    shards = [ref.shard for ref in read_manifest(Storage(str(output))).shards]
    assert len(set(shards)) == len(shards)


def test_an_error_in_mid_listing_comes_after_what_was_found(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, ["a", "b", "c"], error="cannot read the folder x")
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        slow.allow(0)
        feed.wait()
        feed.settle()
        feed.start(1)
        slow.allow(1)
        assert sum(ref.n_images for ref in feed.wave(8)) == 3
        assert feed.wave(8) == []
        assert feed.error == "cannot read the folder x"


def test_an_error_before_the_start_writes_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, ["a", "b", "c"], error="cannot read the folder x")
    monkeypatch.setattr(feed_module, "SETTLE_SECONDS", 60.0)
    slow.allow(0, 1)
    with (
        pytest.raises(UsageError, match="cannot read the folder x"),
        Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed,
    ):
        feed.settle()
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_cannot_be_written_is_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        (tmp_path / "out" / "manifest").write_bytes(b"a file where a folder should be")
        feed.start(1)
        assert feed.wave(1) == []
        assert feed.error.startswith(f"cannot write the manifest of {tmp_path / 'out'}: ")


def test_a_feed_that_is_closed_early_ends_its_thread(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "REFS_AHEAD", 1)
    with Feed(Storage(str(tmp_path / "out")), str(photos), CONFIG) as feed:
        feed.start(1)
        assert len(feed.wave(1)) >= 1
    assert not feed._thread.is_alive()


def test_a_known_tar_is_not_opened_again_and_a_changed_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in "ab":
        write_tar(photos / f"{name}.tar", [(f"{name}{number}.jpg", b"x") for number in range(5)])
    assert sorted(fed(output, photos)) == [f"{name}{number}.jpg" for name in "ab" for number in range(5)]
    from pipeline.sources import listing

    opened: list[str] = []
    images = listing.list_tar
    monkeypatch.setattr(listing, "list_tar", lambda one: (opened.append(one.uri[-5:]), images(one))[1])
    assert fed(output, photos) == []
    assert opened == []
    write_tar(photos / "b.tar", [("b0.jpg", b"x"), ("b9.jpg", b"x")])
    write_tar(photos / "c.tar", [("c0.jpg", b"x")])
    assert sorted(fed(output, photos)) == ["b0.jpg", "b9.jpg", "c0.jpg"]
    assert sorted(opened) == ["b.tar", "c.tar"]


def test_a_tar_that_was_not_listed_to_its_end_is_opened_again(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [(f"{number}.jpg", b"x") for number in range(5)])
    assert fed(tmp_path / "out", path, limit=3) == ["0.jpg", "1.jpg", "2.jpg"]
    assert fed(tmp_path / "out", path) == ["3.jpg", "4.jpg"]
    assert fed(tmp_path / "out", path) == []
