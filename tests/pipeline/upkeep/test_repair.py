"""What `verify --repair` puts in order, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from listing import tasks_of
from small_output import Death, MortalStorage, annotated, contents, entry, make_output

from jobs.cli import main
from pipeline.errors import UsageError
from pipeline.output.amend import amend_shard
from pipeline.output.run_json import existing_run
from pipeline.storage.journal import JOURNAL
from pipeline.storage.store import Storage
from pipeline.upkeep.repair import repair
from pipeline.upkeep.verify import verify

SHARD, OTHER = "0000-000000", "0000-000001"
KEYS = (f"images/{SHARD}.parquet", f"faces/{SHARD}.parquet", f"meshes/{SHARD}.tar")


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    """Two shards, the second with a photo that failed."""
    storage = Storage(str(tmp_path / "out"))
    make_output(storage, [entry(name) for name in ("a", "b", "c", "x")], 2)
    return storage


def problems(storage: Storage) -> list[str]:
    return verify(storage, str(existing_run(storage)["fingerprint"])).problems


def test_a_whole_output_is_left_as_it_is(output: Storage) -> None:
    before = contents(output)
    assert repair(output) == []
    assert contents(output) == before


def test_what_belongs_to_no_commit_is_removed(output: Storage) -> None:
    before = contents(output)
    root = Path(output.root)
    for key in ("images/0007-000000.parquet", "faces/0007-000000.parquet", "meshes/left.tar", "faces/note"):
        output.write(key, b"x")
    for folder in ("faces", "commits", ".", "report", "tombstones", JOURNAL):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / ".s.parquet.4242.139872.0123abcd").write_bytes(b"half")
    assert repair(output) == [
        "removed 4 files that belong to no commit: "
        "images/0007-000000.parquet, faces/0007-000000.parquet, faces/note and 1 more",
        "removed 6 temporary files of processes that were killed",
    ]
    assert contents(output) == before
    assert problems(output) == []


def test_what_is_not_ours_is_not_touched(output: Storage) -> None:
    root = Path(output.root)
    for name in ("notes.txt", ".gitignore", ".mine.1.2.0123abcde", "faces/.DS_Store", "mine/.a.1.2.0123abcd"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"mine")
    before = contents(output)
    assert repair(output) == []
    assert contents(output) == before


DAMAGE: dict[str, tuple[Callable[[Storage], object], str]] = {
    "lost table": (lambda s: s.delete([KEYS[1]]), f"{KEYS[1]} is missing"),
    "lost pack": (lambda s: s.delete([KEYS[2]]), f"{KEYS[2]} is missing"),
    "changed ledger": (lambda s: s.write(KEYS[0], b"x"), f"{KEYS[0]} has changed since it was committed"),
    "unreadable commit": (lambda s: s.write(f"commits/{SHARD}.json", b"{"), "its commit cannot be read"),
    "no commit at all": (lambda s: s.write(f"commits/{SHARD}.json", b"{}"), "its commit cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_shard_loses_its_commit_and_becomes_work_to_do(output: Storage, name: str) -> None:
    damage, told = DAMAGE[name]
    damage(output)
    before = contents(output)
    assert repair(output) == [
        f"shard {SHARD}: {told}; its commit is withdrawn, and annotate will do it again"
    ]
    after = contents(output)
    assert before.keys() - after.keys() == {f"commits/{SHARD}.json"}
    assert all(after[key] == before[key] for key in after)
    assert problems(output) == [f"shard {SHARD}: not committed (2 images); run annotate again"]


@pytest.mark.parametrize("commit", [b"{}", b'{"files": [{"path": "faces/z.parquet", "sha256": "0"}]}'])
def test_a_commit_that_no_manifest_knows_is_for_a_person(output: Storage, commit: bytes) -> None:
    output.write("commits/0009-000000.json", commit)
    output.write("faces/0009-000000.parquet" if commit == b"{}" else "faces/z.parquet", b"x")
    before = contents(output)
    assert repair(output) == []
    assert contents(output) == before
    assert any("manifest does not know it" in problem for problem in problems(output))


def test_a_file_that_cannot_be_read_is_not_a_lost_one(
    output: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage that is down for a moment must not cost a commit."""
    before = contents(output)

    def refuse(key: str) -> bytes:
        if key.startswith("faces/"):
            raise PermissionError("not now")
        return Path(output.root, key).read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(output, "read", refuse)
        with pytest.raises(
            UsageError,
            match=r"^cannot repair OUTPUT .* PermissionError: not now; put that right, and the same",
        ):
            repair(output)
    assert contents(output) == before


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (2, "dropped 2 files of a change that had been interrupted before it took effect"),
        (6, "finished a change of 4 files that had been interrupted"),
    ],
)
def test_the_command_finishes_a_change_and_says_so(
    output: Storage, capsys: pytest.CaptureFixture[str], operation: int, told: str
) -> None:
    mortal = MortalStorage(output.root, operation, True)
    fingerprint = str(existing_run(output)["fingerprint"])
    again = [image for image in tasks_of(output)[1].images if "/x" in image.uri]
    with pytest.raises(Death):
        amend_shard(mortal, annotated(OTHER, again, fingerprint, heal=True), fingerprint)
    faces = 8 if told.startswith("finished") else 6
    code = main(["verify", output.root])
    said = capsys.readouterr().out
    assert code == (1 if told.startswith("finished") else 0)
    assert ("verify --repair finish it" in said) == told.startswith("finished")
    assert main(["verify", output.root, "--repair"]) == 0
    assert capsys.readouterr().out.splitlines() == [told, f"OK: 4 images, {faces} faces, {faces} meshes"]
    assert main(["verify", output.root, "--repair"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "nothing to repair"


def test_a_withdrawn_commit_is_left_work_for_the_command(
    output: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    output.delete([KEYS[1]])
    assert main(["verify", output.root, "--repair"]) == 1
    assert "its commit is withdrawn" in capsys.readouterr().out


def test_a_damaged_journal_is_one_line(output: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    output.write(f"{JOURNAL}/x-1.json", json.dumps({"format": "of another tool"}).encode())
    assert main(["verify", output.root, "--repair"]) == 2
    error = capsys.readouterr().err
    assert "cannot be replayed" in error and error.count("\n") == 1
