"""The storage layer on a real S3 server."""

from __future__ import annotations

import os

import pytest

from pipeline.storage.locations import read_uri
from pipeline.storage.store import Storage


def test_what_is_written_is_read_listed_and_deleted(bucket: str) -> None:
    storage = Storage(f"s3://{bucket}/some/output/")
    assert storage.is_empty()
    large = os.urandom(12 * 2**20)  # more than one part of a multipart upload
    storage.write("commits/a.json", b"{}")
    storage.write("faces/a.parquet", large)
    storage.write("faces/a.parquet", large[::-1])
    assert not storage.is_empty()
    assert storage.read("faces/a.parquet") == large[::-1]
    assert storage.keys() == ["commits/a.json", "faces/a.parquet"]
    assert storage.keys("commits") == ["commits/a.json"]
    assert storage.exists("commits/a.json")
    storage.delete(["commits/a.json"])
    assert not storage.exists("commits/a.json")
    with pytest.raises(FileNotFoundError):
        storage.read("commits/a.json")


def test_a_prefix_is_not_a_folder_of_the_same_beginning(bucket: str) -> None:
    Storage(f"s3://{bucket}/run").write("x", b"1")
    assert Storage(f"s3://{bucket}/ru").is_empty()
    assert Storage(f"s3://{bucket}/ru").keys() == []


def test_reading_is_bounded(bucket: str) -> None:
    Storage(f"s3://{bucket}").write("photo.jpg", b"x" * 1000)
    assert len(read_uri(f"s3://{bucket}/photo.jpg", max_bytes=1000)) == 1000
    with pytest.raises(ValueError, match="larger than 999 bytes"):
        read_uri(f"s3://{bucket}/photo.jpg", max_bytes=999)
