"""`ray job submit` for real: a head with a dashboard and a token on loopback, and our command as its job."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas
import pytest
from images import encoded
from PIL import Image
from processes import wait_until_gone

from pipeline.run.fingerprint import ROWS_VERSION

pytestmark = pytest.mark.timeout(900)

RAY = Path(sys.executable).parent / "ray"
DRY = "--model null --detector null --set output.meshes=false"
IMAGES = 12


@dataclass(frozen=True)
class Head:
    """A running head: the address of its dashboard, and the environment that knows its token."""

    address: str
    environment: dict[str, str]

    def submit(self, key: str, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(RAY),
                "job",
                "submit",
                "--address",
                self.address,
                "--submission-id",
                key,
                *more,
                "--",
                *command.split(),
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def ask(self, path: str) -> dict[str, object]:
        token = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.address + path, headers=token), timeout=60
        ) as answer:
            answered = json.load(answer)
        assert isinstance(answered, dict)
        return answered


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, between those that Ray gives its workers and those that the system gives out: what
    is free there now is free still when the head, some seconds later, takes it.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 500):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("there are no free ports")


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    gcs, dashboard, agent, agent_grpc, client, metrics = free_ports(6)
    # PYTHONPATH would hide whether the code was shipped; `python` in a job is that of this environment.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "PYTHONPATH")
    }
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "PATH": f"{RAY.parent}:{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        options = {
            "port": gcs, "dashboard-port": dashboard, "dashboard-agent-listen-port": agent,
            "dashboard-agent-grpc-port": agent_grpc, "ray-client-server-port": client, "metrics-export-port": metrics,
            "node-ip-address": "127.0.0.1", "dashboard-host": "127.0.0.1", "include-dashboard": "true",
            "num-cpus": 2, "object-store-memory": 300 * 2**20, "temp-dir": folder,
        }  # fmt: skip
        command = [
            str(RAY),
            "start",
            "--head",
            "--block",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        log = Path(folder, "head.txt")
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            one = Head(f"http://127.0.0.1:{dashboard}", environment)
            subprocess.run(
                [sys.executable, "-c", WAIT, one.address], env=environment, check=True, timeout=300
            )
            yield one
        finally:
            process.send_signal(signal.SIGTERM)
            wait_until_gone([process.pid], seconds=120)
            process.wait()


WAIT = """
import sys, time
from ray.job_submission import JobSubmissionClient
end = time.monotonic() + 240
while True:
    try:
        JobSubmissionClient(sys.argv[1]).list_jobs()
        break
    except Exception:
        if time.monotonic() > end:
            raise
        time.sleep(1)
"""
"""A dashboard has no other sign of life than that it answers."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(IMAGES):
        (folder / f"{index}.png").write_bytes(
            encoded(Image.new("RGB", (64 + index, 48), (20 * index, 99, 9)))
        )
    return folder


def test_a_job_annotates_on_the_cluster_that_runs_it_and_its_id_counts_once(
    head: Head, photos: Path, tmp_path: Path, repository: Path
) -> None:
    output = tmp_path / "out"
    excludes = ["tests", "docs", "benchmarks"]
    shipped = ["--working-dir", str(repository), "--runtime-env-json", json.dumps({"excludes": excludes})]
    command = f"python -m jobs annotate {photos} {output} {DRY}"
    done = head.submit("faces-2026-11-21", command, *shipped)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{IMAGES} images (" in done.stdout
    images = pandas.read_parquet(output / "images")
    assert sorted(images["uri"]) == sorted(str(path) for path in photos.iterdir())
    record = json.loads((output / "run.json").read_text())
    assert len(record["invocations"]) == 1
    assert record["fingerprints"]["code"] == ROWS_VERSION

    again = head.submit("faces-2026-11-21", command)
    assert again.returncode != 0
    assert "faces-2026-11-21 already exists" in again.stdout + again.stderr
    assert json.loads((output / "run.json").read_text()) == record

    # Had the job made a Ray of its own, this one would know of no workers.
    actors = head.ask("/api/v0/actors?limit=100&detail=0")
    assert "MapWorker(MapBatches(" in json.dumps(actors)


def test_the_exit_code_of_the_job_is_ours(head: Head, tmp_path: Path) -> None:
    done = head.submit("wrong", f"python -m jobs annotate {tmp_path}/nowhere {tmp_path}/out {DRY}")
    assert done.returncode == 1
    assert "facegpt: there is no file or folder" in done.stdout + done.stderr
    assert head.ask("/api/jobs/wrong")["driver_exit_code"] == 2


def test_without_the_token_nothing_is_submitted(head: Head, tmp_path: Path) -> None:
    stranger = Head(head.address, {**head.environment, "RAY_AUTH_TOKEN": secrets.token_hex(16)})
    done = stranger.submit("stranger", f"touch {tmp_path}/touched")
    assert done.returncode != 0
    assert not (tmp_path / "touched").exists()
