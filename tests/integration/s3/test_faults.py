"""The commands that a person types, on Ray, through a store that misbehaves; and that no key is ever written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
from faulty_store import KINDS, Faults, FaultyStore
from images import encoded
from mock_s3 import connect, disconnect, mock_s3
from PIL import Image
from s3_secrets import ACCESS_KEY, SECRET_KEY, environment, files_below, leaks

from pipeline.storage import store as storage_module
from pipeline.storage.store import Storage

pytestmark = pytest.mark.timeout(900)

IMAGES = 40
DRY = ("--model", "null", "--detector", "null")
SMALL = ("--set", "shards.max_images=16", "--set", "shards.min_images=8", "--set", "workers.engine=ray")


@pytest.fixture(params=["moto", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of a mock server with keys that can be searched for, and of the real one."""
    if request.param == "real":
        yield dict(request.getfixturevalue("s3_environment"))
        return
    with mock_s3() as endpoint:
        yield environment(endpoint)


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    connect(server, monkeypatch)
    # Which requests fail depends on their paths: the mock server's are always the same, the real one's buckets stay.
    name = "faults" if server["AWS_ACCESS_KEY_ID"] == ACCESS_KEY else f"faults-{uuid.uuid4().hex[:12]}"
    storage_module.s3().mkdir(name)
    for index in range(IMAGES):
        image = Image.new("RGB", (64 + index, 48), (6 * index, 99, 9))
        Storage(f"s3://{name}/in").write(f"{index:03d}.png", encoded(image))
    yield name
    disconnect()


@pytest.fixture
def logs() -> Iterator[Path]:
    """Where Ray writes its logs; a short path, since there are sockets below it."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def facegpt(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **more},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_run_through_a_bad_store_is_whole_and_no_key_is_written(
    bucket: str, server: dict[str, str], logs: Path
) -> None:
    """Then the store refuses every write: one line, nothing harmed. Ray's own logs are searched, too."""
    output = f"s3://{bucket}/out"
    ray = {"RAY_TMPDIR": str(logs)}
    said = []
    faults = Faults(7, slow_down=0.1, drop=0.08, lose=0.08, truncate=0.08, slow=0.1)
    with FaultyStore(server["AWS_ENDPOINT_URL"], faults) as store:
        for command in (
            ["annotate", f"s3://{bucket}/in", output, *DRY, *SMALL],
            ["verify", output],
            ["report", output],
        ):
            done = facegpt(*command, AWS_ENDPOINT_URL=store.endpoint, **ray)
            said.append(done)
            assert done.returncode == 0, done.stdout + done.stderr
        assert min(store.given[kind] for kind in KINDS) > 0, store.given
    assert said[1].stdout.startswith(f"OK: {IMAGES} images")

    storage = Storage(output)
    images = pandas.concat(
        pandas.read_parquet(f"{bucket}/out/{key}", filesystem=storage_module.s3())
        for key in storage.keys("images")
    )
    assert sorted(images["uri"]) == [f"s3://{bucket}/in/{index:03d}.png" for index in range(IMAGES)]
    assert set(images["status"]) == {"annotated", "no_face"}

    before = {key: storage.read(key) for key in storage.keys()}
    Storage(f"s3://{bucket}/in").write("new.png", encoded(Image.new("RGB", (64, 64))))
    quota = (403, "QuotaExceeded", "You have reached your quota.")
    full = Faults(refuse=lambda method, path: quota if method in ("PUT", "POST", "DELETE") else None)
    with FaultyStore(server["AWS_ENDPOINT_URL"], full) as store:
        refused = facegpt(
            "annotate", f"s3://{bucket}/in", output, *DRY, *SMALL, AWS_ENDPOINT_URL=store.endpoint, **ray
        )
    said.append(refused)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"facegpt: cannot write to OUTPUT {output}: ")
    assert refused.stderr.endswith(" You have reached your quota.\n") and refused.stderr.count("\n") == 1
    assert {key: storage.read(key) for key in storage.keys()} == before

    written = list(files_below(logs))
    assert any("raylet" in name for name, _ in written)
    texts = [
        *written,
        *before.items(),
        *((f"command {number}", (one.stdout + one.stderr).encode()) for number, one in enumerate(said)),
    ]
    keys = (server["AWS_ACCESS_KEY_ID"], server["AWS_SECRET_ACCESS_KEY"])
    if keys == (ACCESS_KEY, SECRET_KEY):  # a real server's may be words that stand anywhere, such as "test"
        assert leaks(texts) == []
