"""Prefixes, tars, Parquet files and lists on S3, on moto's server in this process: listed and read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listing import listed
from tars import tar_bytes

from pipeline.sources import Fetcher, Listing, remote
from pipeline.storage import locations
from pipeline.storage.locations import Entry


def test_a_prefix_is_listed_with_sizes_and_etags(bucket: str) -> None:
    listing = Listing(f"s3://{bucket}/in/")
    images = [entry for chunk in listing for entry in chunk]
    names = [entry.uri.removeprefix(f"s3://{bucket}/in/") for entry in images]
    assert names == ["a/b/cat.png", "a/group.jpg", "bad.jpg"]
    assert listing.counts.other_files == 1
    assert all(entry.etag and '"' not in entry.etag for entry in images)
    assert images[2].size == 8
    locations.s3().pipe_file(f"{bucket}/in/bad.jpg", b"no image again")
    assert listed(f"s3://{bucket}/in")[2] != images[2]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Pages of three objects; what was asked for, page by page."""
    monkeypatch.setattr(remote, "PAGE", 3)
    asked: list[dict[str, Any]] = []
    original = remote._pages

    def counted(bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
        for page in original(bucket, prefix, delimiter):
            asked.append({"prefix": prefix, "keys": page.get("KeyCount")})
            yield page

    monkeypatch.setattr(remote, "_pages", counted)
    return asked


def _put(bucket: str, keys: list[str]) -> set[str]:
    for key in keys:
        locations.s3().pipe_file(f"{bucket}/{key}", b"x")
    return {f"s3://{bucket}/{key}" for key in keys}


def test_a_prefix_of_many_pages_is_listed_once_each_and_in_the_same_order(
    bucket: str, pages: list[dict[str, Any]]
) -> None:
    keys = [f"many/{folder}/{number}.png" for folder in ("a", "b/c", "d") for number in range(8)]
    expected = _put(bucket, [*keys, "many/0.png", "many/ü +%20.png"])
    _put(bucket, ["many/out/meshes.png", "manyfold/x.png"])
    found = [entry.uri for entry in listed(f"s3://{bucket}/many", output=f"s3://{bucket}/many/out")]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert all(page["keys"] <= 3 for page in pages)
    assert [entry.uri for entry in listed(f"s3://{bucket}/many", output=f"s3://{bucket}/many/out")] == found


def test_several_subfolders_are_listed_at_once(bucket: str, pages: list[dict[str, Any]]) -> None:
    keys = [f"deep/one/{folder}/{number}.png" for folder in ("a", "b") for number in range(8)]
    expected = _put(bucket, [*keys, "deep/one/ü +%20/0.png"])
    found = [entry.uri for entry in listed(f"s3://{bucket}/deep")]
    assert sorted(found) == sorted(expected)
    assert {"deep/one/a/", "deep/one/b/"} <= {page["prefix"] for page in pages}
    assert all(page["keys"] <= 3 for page in pages)
    assert [entry.uri for entry in listed(f"s3://{bucket}/deep")] == found


def test_a_limit_is_by_key_and_ends_the_listing(bucket: str, pages: list[dict[str, Any]]) -> None:
    _put(bucket, [f"many/{folder}/{number}.png" for folder in "ab" for number in range(8)])
    found = [entry.uri for entry in listed(f"s3://{bucket}/many", limit=4)]
    assert found == [f"s3://{bucket}/many/a/{number}.png" for number in range(4)]
    # Chunks are filled from whole pages; with real pages of a thousand a chunk is one page.
    assert sum(page["keys"] for page in pages) <= 16


def test_a_tar_on_s3_is_listed_by_its_headers_and_read_by_ranges(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [
        ("1.jpg", b"x" * 200_000),
        ("1.txt", b"said"),
        ("2.jpg", b"y" * 3_000_000),
        ("3.jpg", b"z" * 100),
    ]
    data = tar_bytes(photos)
    locations.s3().pipe_file(f"{bucket}/tars/a.tar", data)
    locations.s3().pipe_file(f"{bucket}/tars/cut.tar", data[:250_000])
    locations.s3().pipe_file(f"{bucket}/tars/old.tar.gz", b"x")
    read = []
    cat = locations.s3().cat_file
    monkeypatch.setattr(
        locations.s3(),
        "cat_file",
        lambda path, start=None, end=None: (read.append(end - start), cat(path, start=start, end=end))[1],
    )
    alone = listed(f"s3://{bucket}/tars/a.tar")
    assert sum(read) < len(data) / 2
    etag = locations.s3().info(f"{bucket}/tars/a.tar")["ETag"].strip('"')
    assert alone[0] == Entry(f"s3://{bucket}/tars/a.tar!/1.jpg", 200_000, f"{etag}@512,txt@201216+4")
    found = listed(f"s3://{bucket}/tars")
    names = sorted(entry.uri.removeprefix(f"s3://{bucket}/tars/") for entry in found)
    assert names == [
        "a.tar!/1.jpg",
        "a.tar!/2.jpg",
        "a.tar!/3.jpg",
        "cut.tar!/1.jpg",
        "cut.tar!/2.jpg",
        "old.tar.gz",
    ]
    fetch = Fetcher(10**7)
    read.clear()
    got = fetch(alone[0])
    assert (got.data, got.caption, len(read)) == (photos[0][1], "said", 1)
    assert [fetch(entry).data for entry in alone[1:]] == [photos[2][1], photos[3][1]]
    damaged = next(entry for entry in found if entry.uri == f"s3://{bucket}/tars/cut.tar!/2.jpg")
    with pytest.raises(ValueError, match="the tar is damaged at byte"):
        fetch(damaged)
    locations.s3().pipe_file(f"{bucket}/tars/a.tar", data + b"more")
    stale = replace(alone[0], etag="0" * 32 + "@512")
    with pytest.raises(ValueError, match="changed since it was listed"):
        fetch(stale)


def test_a_parquet_file_on_s3_is_read_by_row_groups(bucket: str) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": [b"a", b"b", b"c"]}), sink, row_group_size=2)
    locations.s3().pipe_file(f"{bucket}/rows/a.parquet", sink.getvalue())
    fetch = Fetcher(10)
    for location in ("rows", "rows/a.parquet"):
        assert [fetch(entry).data for entry in listed(f"s3://{bucket}/{location}")] == [b"a", b"b", b"c"]


def test_lists_on_s3_are_read(bucket: str) -> None:
    locations.s3().pipe_file(f"{bucket}/lists/a.txt", b"../in/bad.jpg\ngone.png\n")
    locations.s3().pipe_file(f"{bucket}/in/list.csv", b"n,uri\n1,a/group.jpg\n2,bad.jpg\n")
    assert [entry.size for entry in listed(f"s3://{bucket}/lists/a.txt")][1] is None
    assert [entry.uri for entry in listed(f"s3://{bucket}/in/list.csv")] == [
        f"s3://{bucket}/in/a/group.jpg",
        f"s3://{bucket}/in/bad.jpg",
    ]
