"""Every command on an output that is damaged: one line that names the way out, and not a byte changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_model import FakeSource
from images import encoded
from PIL import Image
from small_output import contents, entry, image_id_of, make_output

import pipeline.run.annotate
import pipeline.run.setup
import pipeline.upkeep.retry
from jobs.cli import main
from pipeline.storage.store import Storage

Damage = Callable[[Path], object]


class RanError(Exception):
    """A command went on to its work."""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_for(config: object, images: int | None) -> Any:
        raise RanError

    monkeypatch.setattr(pipeline.run.setup, "CheckpointSource", lambda *names: FakeSource())
    for module in (pipeline.run.annotate, pipeline.upkeep.retry):
        monkeypatch.setattr(module, "engine_for", engine_for)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two shards, the second with a photo that failed."""
    make_output(Storage(str(tmp_path / "out")), [entry(name) for name in ("a", "b", "c", "x")], 2)
    return tmp_path / "out"


COMMANDS = {
    "annotate": lambda output: ["annotate", str(output.parent / "photos"), str(output)],
    "retry": lambda output: ["retry", str(output)],
    "forget": lambda output: ["forget", str(output), image_id_of("a")],
    "verify": lambda output: ["verify", str(output)],
    "repair": lambda output: ["verify", str(output), "--repair"],
    "status": lambda output: ["status", str(output)],
    "report": lambda output: ["report", str(output)],
}


def cut(pattern: str) -> Damage:
    """Half of the first such file is gone."""
    return lambda output: _first(output, pattern).write_bytes(_first(output, pattern).read_bytes()[:-40])


def fill(pattern: str, data: bytes) -> Damage:
    return lambda output: _first(output, pattern).write_bytes(data)


def foreign(pattern: str) -> Damage:
    """A table of something else is in the place of the first such file."""
    return lambda output: pq.write_table(pa.table({"a": [1]}), _first(output, pattern))


def lacks(pattern: str, *names: str) -> Damage:
    def damage(output: Path) -> None:
        path = _first(output, pattern)
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in names}))

    return damage


def new(key: str, data: bytes) -> Damage:
    def damage(output: Path) -> None:
        (output / key).parent.mkdir(exist_ok=True)
        (output / key).write_bytes(data)

    return damage


def without(pattern: str) -> Damage:
    return lambda output: _first(output, pattern).unlink()


def _first(output: Path, pattern: str) -> Path:
    return min(output.glob(pattern))


JOURNAL = ".journal/forget-00c0ffee.json"
RUN, MANIFEST, COMMIT = "run.json", "manifest/*.parquet", "commits/*.json"
LEDGER, FACES = "images/*.parquet", "faces/*.parquet"
EVERY = tuple(COMMANDS)
PLANNING = tuple(command for command in EVERY if command != "report")
"""The commands that read the manifest."""
AT_WORK = ("annotate", "retry", "forget", "repair")
"""The commands that change an output."""
REPAIRS = "`facegpt verify OUTPUT --repair` withdraws its shard, annotate then makes it again"
CASES: dict[str, tuple[Damage, tuple[str, ...], str]] = {
    "run.json cut off": (cut(RUN), EVERY, "put run.json back as it was"),
    "run.json not text": (fill(RUN, b"\xff\xfe\0"), EVERY, "put run.json back as it was"),
    "run.json a list": (fill(RUN, b"[]"), EVERY, "put run.json back as it was"),
    "run.json lacks": (
        lacks(RUN, "fingerprints", "config"),
        EVERY,
        "does not say its config, fingerprints. Put it",
    ),
    "manifest cut off": (cut(MANIFEST), PLANNING, "put this file back as it was"),
    "manifest empty": (fill(MANIFEST, b""), PLANNING, "put this file back as it was"),
    "manifest foreign": (
        foreign(MANIFEST),
        PLANNING,
        "has no column etag, shard, size, uri",
    ),
    "manifest gone": (
        without(MANIFEST),
        ("annotate",),
        "2 committed shards stand in no part of the manifest",
    ),
    "ledger cut off": (cut(LEDGER), ("forget", "report"), REPAIRS),
    "ledger foreign": (foreign(LEDGER), ("forget", "report"), REPAIRS),
    "ledger gone": (without(LEDGER), ("forget", "report"), REPAIRS),
    "faces cut off": (cut(FACES), ("forget", "report"), REPAIRS),
    "faces foreign": (foreign(FACES), ("forget", "report"), REPAIRS),
    "commit cut off": (cut(COMMIT), ("retry", "forget", "status"), REPAIRS),
    "commit a list": (fill(COMMIT, b"[1]"), ("retry", "forget", "status"), REPAIRS),
    "commit not text": (fill(COMMIT, b"\xff\0"), ("retry", "forget", "status"), REPAIRS),
    "commit lacks": (lacks(COMMIT, "statuses", "images"), ("retry", "forget", "status"), REPAIRS),
    "tombstone": (
        new("tombstones/0000.parquet", b"x"),
        ("annotate", "forget", "status"),
        "put it back as it was",
    ),
    "journal": (new(JOURNAL, b"x"), AT_WORK, "remove it by hand to give its change up"),
    "journal lacks": (new(JOURNAL, b'{"format": "facegpt-journal"}'), AT_WORK, "remove it by hand"),
    "journal odd": (
        new(JOURNAL, b'{"format": "facegpt-journal", "write": [1], "remove": []}'),
        AT_WORK,
        "remove it by hand",
    ),
    "journal out of place": (
        new(JOURNAL, b'{"format": "facegpt-journal", "write": [], "remove": ["../x"]}'),
        AT_WORK,
        "../x lies outside of the output",
    ),
}


@pytest.mark.parametrize(
    ("damage", "command", "way_out"),
    [
        pytest.param(damage, command, way_out, id=f"{name}-{command}")
        for name, (damage, commands, way_out) in CASES.items()
        for command in commands
    ],
)
def test_a_damaged_output_is_one_line_and_nothing_is_touched(
    damage: Damage, command: str, way_out: str, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(output)
    damage(output)
    before = contents(Storage(str(output)))
    assert main(COMMANDS[command](output)) == 2
    said = capsys.readouterr().err
    assert said.startswith("facegpt: ")
    assert said.count("\n") == 1
    assert way_out in said
    assert contents(Storage(str(output))) == before


@pytest.mark.parametrize(
    "case", ["ledger foreign", "faces foreign", "commit lacks", "commit not text", "tombstone"]
)
def test_verify_lists_it_among_the_problems_and_changes_nothing(
    case: str, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CASES[case][0](output)
    before = contents(Storage(str(output)))
    assert main(["verify", str(output)]) == 1
    assert "PROBLEMS in" in capsys.readouterr().out
    assert contents(Storage(str(output))) == before


@pytest.mark.parametrize("case", ["ledger foreign", "commit lacks", "commit not text"])
def test_the_way_out_is_one(case: str, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CASES[case][0](output)
    assert main(["verify", str(output), "--repair"]) == 1
    said = capsys.readouterr().out
    assert "its commit is withdrawn, and annotate will do it again" in said
    assert "1 PROBLEMS" in said
    assert main(["status", str(output)]) == 0
    assert "not complete" in capsys.readouterr().out


@pytest.mark.parametrize("command", [*EVERY])
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    command: str, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else nothing would count as committed, and `--repair` would remove all that is there."""
    photos(output)
    before = contents(Storage(str(output)))
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == output / "commits":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert main(COMMANDS[command](output)) == 2
    said = capsys.readouterr().err
    assert said.startswith("facegpt: ")
    assert said.count("\n") == 1
    assert "Permission denied" in said
    monkeypatch.undo()
    assert contents(Storage(str(output))) == before


@pytest.mark.parametrize("folder", ["images", "faces", "commits", "manifest"])
def test_a_change_that_one_folder_will_not_take_is_not_begun(
    folder: str, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(Storage(str(output)))
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != output / folder and real(path, mode))
    assert main(COMMANDS["forget"](output)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{output / folder}: Permission denied; put that right" in said
    assert contents(Storage(str(output))) == before
    monkeypatch.undo()
    assert main(COMMANDS["forget"](output)) == 0


@pytest.mark.parametrize("image_id", ["", "xyz", "../run.json", "*", "0" * 31, "ä" * 32])
def test_what_is_no_image_id_is_told_so(
    image_id: str, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(Storage(str(output)))
    assert main(["forget", str(output), image_id_of("a"), image_id]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nothing was forgotten; an IMAGE_ID is 32 hex digits, as in the column image_id" in said
    assert contents(Storage(str(output))) == before


def photos(output: Path) -> None:
    folder = output.parent / "photos"
    folder.mkdir()
    (folder / "new.png").write_bytes(encoded(Image.new("RGB", (64, 64))))


@pytest.mark.parametrize("command", ["status", "verify", "forget", "report"])
def test_a_place_that_breaks_midway_is_one_line(
    command: str, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Storage.read

    def read(self: Storage, key: str) -> bytes:
        if key.startswith(("manifest/", "images/", "commits/")):
            raise PermissionError(13, "Permission denied", key)
        return real(self, key)

    before = contents(Storage(str(output)))
    monkeypatch.setattr(Storage, "read", read)
    assert main(COMMANDS[command](output)) == 2
    said = capsys.readouterr().err
    assert said.startswith("facegpt: ")
    assert said.count("\n") == 1
    assert "Permission denied" in said
    monkeypatch.undo()
    assert contents(Storage(str(output))) == before
