"""The way through S3, on moto's server in this process: list, fetch, commit, verify."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pandas
import pytest
import s3fs
from fake_model import FakeAnnotator

from pipeline import storage as storage_module
from pipeline.annotate import AnnotateFaces
from pipeline.commit import commit_shard
from pipeline.config import RunConfig
from pipeline.detect import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.lock import Holder, birth_of, run_lock
from pipeline.run_record import read_record
from pipeline.shards import extend_manifest, read_manifest
from pipeline.sources import list_images
from pipeline.storage import LOCK, Storage
from pipeline.verify import verify

moto_server = pytest.importorskip("moto.server", reason="needs moto, a development dependency")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, photos: Path) -> Iterator[str]:
    """A bucket with two photos, a text and something else; the server is known by the environment alone."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "testtest",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    storage_module.s3.cache_clear()
    filesystem = storage_module.s3()
    filesystem.mkdir("photos-bucket")
    for key, name in (("a/group.jpg", "group.jpg"), ("a/b/cat.png", "cat.png")):
        filesystem.pipe_file(f"photos-bucket/in/{key}", (photos / name).read_bytes())
    filesystem.pipe_file("photos-bucket/in/bad.jpg", b"no image")
    filesystem.pipe_file("photos-bucket/in/notes.txt", b"text")
    filesystem.pipe_file("photos-bucket/inside.png", b"beside the prefix, not in it")
    yield "photos-bucket"
    filesystem.rm("photos-bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
    storage_module.s3.cache_clear()


def test_a_prefix_is_listed_with_sizes_and_etags(bucket: str) -> None:
    listing = list_images(f"s3://{bucket}/in/")
    names = [entry.uri.removeprefix(f"s3://{bucket}/in/") for entry in listing.images]
    assert names == ["a/b/cat.png", "a/group.jpg", "bad.jpg"]
    assert listing.ignored == 1
    assert all(entry.etag and '"' not in entry.etag for entry in listing.images)
    assert listing.images[2].size == 8
    storage_module.s3().pipe_file(f"{bucket}/in/bad.jpg", b"no image again")
    assert list_images(f"s3://{bucket}/in").images[2] != listing.images[2]


def test_from_photos_to_a_verified_output(bucket: str) -> None:
    output = Storage(f"s3://{bucket}/out")
    assert output.is_empty()
    images = list_images(f"s3://{bucket}/in", output=output.root).images
    manifest = extend_manifest(output, read_manifest(output), images, 16)
    assert read_manifest(output) == manifest
    detect = DetectAndCrop(RunConfig(), 112)
    annotate = AnnotateFaces(RunConfig(), FakeAnnotator(), "print")
    for task in manifest.tasks:
        outcome = commit_shard(output, annotate(detect(task)), "print")
    assert dict(outcome.statuses) == {"annotated": 1, "no_face": 1, "failed": 1}
    assert verify(output, "print").line == "OK: 3 images, 6 faces, 6 meshes"
    faces = pandas.read_parquet(f"{bucket}/out/faces", filesystem=storage_module.s3())
    assert set(faces["uri"]) == {f"s3://{bucket}/in/a/group.jpg"}
    output.delete([key for key in output.keys() if key.startswith("meshes/")])
    assert any("missing" in problem for problem in verify(output, "print").problems)


def test_an_object_that_is_gone_is_a_failed_row(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/out")
    manifest = extend_manifest(storage, read_manifest(storage), list_images(f"s3://{bucket}/in").images, 16)
    storage_module.s3().rm(f"{bucket}/in/bad.jpg")
    shard = DetectAndCrop(RunConfig(), 112)(manifest.tasks[0])
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
        list_images(location)
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
    dead = replace(Holder.me(), birth="another process with this number")
    storage.write(LOCK, json.dumps(asdict(dead)).encode())
    with run_lock(storage):
        held = Holder.parse(storage.read(LOCK))
        assert held is not None
        assert held.birth == birth_of(os.getpid())
