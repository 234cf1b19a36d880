"""Every command on an output in an object store that has no such bucket, or nothing in it: one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_model import FakeSource
from images import encoded
from mock_s3 import connect, disconnect, mock_s3
from PIL import Image
from s3_secrets import SECRET_KEY, environment

import pipeline.run.setup
from jobs.cli import main
from pipeline.storage import locations


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with mock_s3() as found:
        yield found


@pytest.fixture(autouse=True)
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store with one bucket, `empty`."""
    monkeypatch.setattr(pipeline.run.setup, "CheckpointSource", lambda *names: FakeSource())
    connect(environment(endpoint), monkeypatch)
    if not locations.s3().exists("empty"):
        locations.s3().mkdir("empty")
    yield
    disconnect()


NOWHERE, EMPTY = "s3://no-such-bucket/faces", "s3://empty/faces"
COMMANDS = (["status"], ["verify"], ["verify", "--repair"], ["retry"], ["forget", "0" * 32], ["report"])


@pytest.mark.parametrize("output", [NOWHERE, EMPTY])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_is_not_there_is_one_line(
    command: list[str], output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job, *rest = command
    assert main([job, output, *rest]) == 2
    check(capsys.readouterr().err)


def test_annotate_into_no_bucket_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (64, 64))))
    assert main(["annotate", str(tmp_path), NOWHERE]) == 2
    check(capsys.readouterr().err)


def check(said: str) -> None:
    """One line, with the place and without the key; nothing was stored."""
    assert said.startswith("facegpt: ")
    assert said.count("\n") == 1
    assert "there is no run at s3://" in said or "no-such-bucket" in said
    assert SECRET_KEY not in said
    assert locations.s3().find("empty") == []
