"""Neighbouring reads share requests, give the same bytes as single ones, and an error is not kept."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from pipeline.sources.range_cache import RangeCache
from pipeline.sources.ranges import RangeReader

DATA = random.Random(0).randbytes(10_500)


class Counted:
    """An object of `DATA` that counts its requests, and fails as often as it is told to."""

    uri = "s3://bucket/a.tar"

    def __init__(self) -> None:
        self.requests: list[tuple[int, int]] = []
        self.failures = 0

    def read(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        if self.failures:
            self.failures -= 1
            raise OSError("connection lost")
        return DATA[offset : offset + length]


def test_every_range_is_what_it_is_by_itself() -> None:
    reader, cache, rng = Counted(), RangeCache(block_bytes=1000, blocks_kept=3), random.Random(1)
    for _ in range(400):
        offset, length = rng.randrange(10_600), rng.randrange(1, 2500)
        assert cache.read(cast(RangeReader, reader), "e", offset, length) == DATA[offset : offset + length]


def test_members_read_by_many_threads_take_one_request_a_block() -> None:
    reader, cache = Counted(), RangeCache(block_bytes=1000, blocks_kept=16)
    ranges = [(start, 70) for start in range(0, 10_500, 70)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda one: cache.read(cast(RangeReader, reader), "e", *one), ranges))
    assert b"".join(read) == DATA
    assert sorted(reader.requests) == [(start, 1000) for start in range(0, 10_500, 1000)]


def test_another_version_of_the_object_is_read_anew() -> None:
    reader, cache = Counted(), RangeCache(block_bytes=1000)
    for etag in ("old", "old", "new"):
        cache.read(cast(RangeReader, reader), etag, 0, 10)
    assert len(reader.requests) == 2


def test_what_could_not_be_read_is_tried_again() -> None:
    reader, cache = Counted(), RangeCache(block_bytes=1000)
    reader.failures = 1
    with pytest.raises(OSError, match="connection lost"):
        cache.read(cast(RangeReader, reader), "e", 0, 10)
    assert cache.read(cast(RangeReader, reader), "e", 0, 10) == DATA[:10]
