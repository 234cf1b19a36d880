"""A real S3 server: the one that FACEGPT_TEST_S3 names, or a single-node Ceph gateway that the tests start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from obligations import missing
from processes import pids_naming, wait_until_gone

ATTEMPTS = 6
SERVER_SCRIPT = Path(__file__).resolve().parents[4] / "shared" / "tools" / "s3_server.sh"


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables by which any S3 client finds the test server.

    FACEGPT_TEST_S3 is the endpoint of a server to use, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY beside it.
    """
    common = {
        "AWS_DEFAULT_REGION": "us-east-1",
        # Older Ceph gateways refuse the chunked uploads that newer clients use for their checksums.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    endpoint = os.environ.get("FACEGPT_TEST_S3")
    if endpoint:
        keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        yield {**common, **keys, "AWS_ENDPOINT_URL": endpoint}
        return
    if not SERVER_SCRIPT.is_file():
        missing(
            "FACEGPT_TEST_S3 names no server, and the developers' script that starts one is not beside the checkout"
        )
    if shutil.which("radosgw") is None:
        missing("FACEGPT_TEST_S3 names no server, and the package radosgw is not installed")
    pids = _start(tmp_path_factory.mktemp("s3"))
    try:
        yield {
            **common,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "testtest",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:7480",
        }
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        wait_until_gone(pids, seconds=120)


def _start(folder: Path) -> list[int]:
    """Starts the gateway and returns the processes to end.

    Ceph 16's storage daemon, when it greets a monitor that has only just started, at times sends it an empty cluster id
    and is refused: a race of its own, so the start is tried again.
    """
    said = ""
    for attempt in range(ATTEMPTS):
        data, log = folder / str(attempt), folder / f"{attempt}.txt"
        # Into a file, not a pipe: the daemons inherit it and would keep a pipe open.
        with log.open("wb") as file:
            command = ["bash", str(SERVER_SCRIPT)]
            environment = {**os.environ, "D": str(data), "R": ""}
            started = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=180,
            )
        said = log.read_text()
        if started.returncode == 0:
            return [int(word) for word in said.splitlines()[-1].split()]
        wait_until_gone(pids_naming(str(data)), seconds=120)
    raise RuntimeError(f"the S3 server did not start in {ATTEMPTS} attempts; the last one said:\n{said}")


@pytest.fixture
def bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; this process, too, finds the server by its environment."""
    from mock_s3 import connect

    from pipeline.storage import store as storage

    connect(s3_environment, monkeypatch)
    name = f"faces-{uuid.uuid4().hex[:12]}"
    storage.s3().mkdir(name)
    return name
