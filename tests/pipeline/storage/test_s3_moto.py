"""The way through S3, on moto's server in this process: list, fetch, commit, verify, change."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_model import FakeAnnotator
from listing import listed
from manifests import add_shards
from mock_s3 import connect, disconnect, mock_s3
from s3_secrets import environment
from small_output import (
    Death,
    MortalStorage,
    annotated,
    contents,
    entry,
    image_id_of,
    make_output,
)
from tars import tar_bytes

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.output.amend import amend_shard
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import read_record
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.sources import Fetcher, Listing, remote
from pipeline.storage import locations
from pipeline.storage.journal import pending_rewrites, replay_journal
from pipeline.storage.locations import Entry
from pipeline.storage.lock import Holder, birth_of, run_lock
from pipeline.storage.store import LOCK, Storage
from pipeline.upkeep.forget import forget
from pipeline.upkeep.repair import repair
from pipeline.upkeep.verify import verify


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with mock_s3() as found:
        yield found


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, photos: Path) -> Iterator[str]:
    """A bucket with two photos, a text and something else; the server is known by the environment alone."""
    connect(environment(endpoint), monkeypatch)
    filesystem = locations.s3()
    filesystem.mkdir("photos-bucket")
    for key, name in (("a/group.jpg", "group.jpg"), ("a/b/cat.png", "cat.png")):
        filesystem.pipe_file(f"photos-bucket/in/{key}", (photos / name).read_bytes())
    filesystem.pipe_file("photos-bucket/in/bad.jpg", b"no image")
    filesystem.pipe_file("photos-bucket/in/notes.txt", b"text")
    filesystem.pipe_file("photos-bucket/inside.png", b"beside the prefix, not in it")
    yield "photos-bucket"
    filesystem.rm("photos-bucket", recursive=True)
    disconnect()


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


def test_from_photos_to_a_verified_output(bucket: str) -> None:
    output = Storage(f"s3://{bucket}/out")
    assert output.is_empty()
    images = listed(f"s3://{bucket}/in", output=output.root)
    manifest = add_shards(output, images, 16)
    assert read_manifest(output) == manifest
    detect = DetectAndCrop(RunConfig(), 112)
    annotate = AnnotateFaces(RunConfig(), FakeAnnotator(), "print")
    load = ShardLoader(output)
    for ref in manifest.shards:
        outcome = commit_shard(output, annotate(detect(load(ref))), "print")
    assert dict(outcome.statuses) == {"annotated": 1, "no_face": 1, "failed": 1}
    assert verify(output, "print").line == "OK: 3 images, 6 faces, 6 meshes"
    faces = pandas.read_parquet(f"{bucket}/out/faces", filesystem=locations.s3())
    assert set(faces["uri"]) == {f"s3://{bucket}/in/a/group.jpg"}
    output.delete([key for key in output.keys() if key.startswith("meshes/")])
    assert any("missing" in problem for problem in verify(output, "print").problems)


def test_an_object_that_is_gone_is_a_failed_row(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out")
    manifest = add_shards(storage, listed(f"s3://{bucket}/in"), 16)
    locations.s3().rm(f"{bucket}/in/bad.jpg")
    shard = DetectAndCrop(RunConfig(), 112)(ShardLoader(storage)(manifest.shards[0]))
    assert [(record.status, record.stage) for record in shard.images][2] == ("failed", "fetch")
    assert shard.images[2].reason


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://photos-bucket/nothing", "there is nothing at"),
        ("s3://no-such-bucket-here/x", "no-such-bucket-here"),
    ],
)
def test_an_input_that_is_not_there_is_one_line(bucket: str, location: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        listed(location)
    assert "\n" not in str(caught.value)


def test_an_output_that_holds_something_else_is_refused(bucket: str) -> None:
    with pytest.raises(UsageError, match="holds something else"):
        read_record(Storage(f"s3://{bucket}/in"))
    with pytest.raises(UsageError, match="is a file"):
        read_record(Storage(f"s3://{bucket}/in/notes.txt"))


def test_of_two_that_create_a_key_one_does(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out")
    assert storage.create(LOCK, b"first")
    assert not storage.create(LOCK, b"second")
    assert storage.read(LOCK) == b"first"
    assert storage.is_empty()


def test_one_run_at_a_time(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out")
    with run_lock(storage):
        with pytest.raises(UsageError, match=rf"in use by process {os.getpid()} on"), run_lock(storage):
            pass
        assert storage.exists(LOCK)
    assert not storage.exists(LOCK)
    dead = replace(Holder.this_process(), birth="another process with this number")
    storage.write(LOCK, json.dumps(asdict(dead)).encode())
    with run_lock(storage):
        held = Holder.parse(storage.read(LOCK))
        assert held is not None
        assert held.birth == birth_of(os.getpid())


PHOTOS = [entry(name) for name in ("a", "x", "b", "n")]


def test_what_is_hidden_is_hidden_as_in_a_folder(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out")
    for key in (".journal/x.000000", "faces/.half.1.2.0123abcd", "faces/a.parquet"):
        storage.write(key, b"x")
    assert storage.keys() == ["faces/a.parquet"]
    assert storage.keys(".journal") == [".journal/x.000000"]
    assert len(storage.keys(hidden=True)) == 3


def test_deleting_takes_keys_as_they_are(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out[1]*")
    for key in ("a", "b", "c?"):
        storage.write(key, b"x")
    storage.delete(["c?", "a", "was never there"])
    assert storage.keys() == ["b"]
    storage.delete([])


def test_a_delete_that_the_server_refuses_is_an_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {"Errors": [{"Key": "out/a", "Code": "AccessDenied", "Message": "Access Denied"}]}
    monkeypatch.setattr(locations.s3(), "call_s3", lambda *_, **__: refusal)
    with pytest.raises(OSError, match="out/a could not be removed: Access Denied"):
        Storage(f"s3://{bucket}/out").delete(["a"])


@pytest.mark.parametrize("operation", [2, 4, 6, 8])
def test_a_change_that_was_interrupted_is_dropped_or_finished(bucket: str, operation: int) -> None:
    output = Storage(f"s3://{bucket}/out")
    fingerprint = make_output(output, PHOTOS, 4)
    again = annotated("0000-000000", [PHOTOS[1]], fingerprint, heal=True)
    with pytest.raises(Death):
        amend_shard(MortalStorage(output.root, operation, True), again, fingerprint)
    is_final = bool(pending_rewrites(output))
    assert is_final == (operation > 4)
    assert bool(verify(output, fingerprint).problems) == is_final
    assert len(replay_journal(output)) == 1
    assert output.keys(".journal") == []
    faces = 6 if is_final else 4
    assert verify(output, fingerprint).line == f"OK: 4 images, {faces} faces, {faces} meshes"


def test_forgetting_leaves_tombstones_and_nothing_else(bucket: str) -> None:
    output = Storage(f"s3://{bucket}/out")
    fingerprint = make_output(output, PHOTOS, 2)
    output.write("report/index.html", b"a page")
    output.write("faces/0009-000000.parquet", b"left behind")
    done = forget(output, [image_id_of("a"), image_id_of("b")])
    assert (done.images, done.faces, done.report) == (2, 4, True)
    assert output.keys(hidden=True) == [
        "commits/0000-000000.json",
        "commits/0000-000001.json",
        "faces/0000-000000.parquet",
        "faces/0000-000001.parquet",
        "images/0000-000000.parquet",
        "images/0000-000001.parquet",
        "manifest/0000-00000.parquet",
        "run.json",
        "tombstones/0000.parquet",
    ]
    assert verify(output, fingerprint).line == "OK: 2 images, 0 faces, 0 meshes"


def refuse(self: Storage) -> int:
    raise PermissionError("Access Denied")


def test_repair_ends_the_uploads_to_this_output_alone(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = locations.s3()
    output = Storage(f"s3://{bucket}/out")
    make_output(output, PHOTOS, 4)
    before = contents(output)
    for key in ("out/meshes/a.tar", "out/faces/b.parquet", "outside/c"):
        filesystem.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    assert repair(output) == ["ended 2 uploads that were never finished"]
    left = filesystem.call_s3("list_multipart_uploads", Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["outside/c"]
    assert contents(output) == before
    assert repair(output) == []
    monkeypatch.setattr(Storage, "abort_uploads", refuse)
    assert repair(output) == ["uploads that were never finished, if there are any, are left: Access Denied"]
    filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key="outside/c", UploadId=left[0]["UploadId"])
