"""A bucket of photos on a mock S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mock_s3 import connect, disconnect, mock_s3
from s3_secrets import environment

from pipeline.storage import locations


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
