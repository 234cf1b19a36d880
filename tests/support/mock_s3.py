"""A mock S3 server in this process, and what makes this process find a store by the environment alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import s3fs

from pipeline.storage.locations import s3

OTHER_SOURCES = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
"""What would tell an S3 client of another store or other keys."""


@contextmanager
def mock_s3() -> Iterator[str]:
    """Runs moto's server and gives its endpoint; skips the test that wants it where moto is not installed."""
    moto = pytest.importorskip("moto.server", reason="needs moto, a development dependency")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def connect(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this process find the store that `environment` names; `disconnect` comes after it."""
    for name in OTHER_SOURCES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    disconnect()


def disconnect() -> None:
    """Lets go of the connections that s3fs and the pipeline keep for reuse."""
    s3fs.S3FileSystem.clear_instance_cache()
    s3.cache_clear()
