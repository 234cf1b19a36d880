"""Outputs on S3, on moto's server in this process: committed, verified, locked, changed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pandas
import pytest
from fake_model import FakeAnnotator
from listing import listed
from manifests import add_shards
from small_output import (
    Death,
    MortalStorage,
    annotated,
    contents,
    entry,
    image_id_of,
    make_output,
)

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.output.amend import amend_shard
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import read_record
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.storage import locations
from pipeline.storage.journal import pending_rewrites, replay_journal
from pipeline.storage.lock import Holder, birth_of, run_lock
from pipeline.storage.store import LOCK, Storage
from pipeline.upkeep.forget import forget
from pipeline.upkeep.repair import repair
from pipeline.upkeep.verify import verify


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
