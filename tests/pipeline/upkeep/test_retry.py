"""Which failed images are done again, and how the command says no; whole retries are in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_model import FakeSource
from small_output import BROKEN, Death, MortalStorage, annotated, contents, entry, make_output

import pipeline.run.setup
from jobs.cli import main
from pipeline.errors import UsageError
from pipeline.execution.stages import commit_step
from pipeline.output.amend import amend_shard
from pipeline.output.run_json import existing_run
from pipeline.shards.manifest import read_manifest
from pipeline.storage.journal import pending_rewrites
from pipeline.storage.store import Storage
from pipeline.upkeep.retry import Choice, failed_tasks, retry

PHOTOS = [entry(name) for name in ("a", "x1", "b", "n", "x2", "x3")]
SHARDS = ["0000-000000", "0000-000001", "0000-000002"]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.run.setup, "CheckpointSource", lambda *names: FakeSource())


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    """Three shards of two photos, with one, no and two failures."""
    storage = Storage(str(tmp_path / "out"))
    make_output(storage, PHOTOS, 2)
    return storage


def chosen(storage: Storage, choice: Choice) -> list[tuple[str, list[str]]]:
    tasks, _ = failed_tasks(storage, read_manifest(storage), choice)
    return [(task.shard, [image.uri[8:-4] for image in task.images]) for task in tasks]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (Choice(), [(SHARDS[0], ["x1"]), (SHARDS[2], ["x2", "x3"])]),
        (Choice(reason="timeout"), [(SHARDS[0], ["x1"]), (SHARDS[2], ["x2", "x3"])]),
        (Choice(reason="OF X2"), [(SHARDS[2], ["x2"])]),
        (Choice(reason="disk"), []),
        (Choice(stage="fetch"), [(SHARDS[0], ["x1"]), (SHARDS[2], ["x2", "x3"])]),
        (Choice(stage="decode"), []),
        (Choice(reason="x3", stage="fetch"), [(SHARDS[2], ["x3"])]),
    ],
)
def test_failed_images_are_chosen_by_reason_and_stage(
    output: Storage, choice: Choice, names: list[tuple[str, list[str]]]
) -> None:
    assert chosen(output, choice) == names


def test_work_left_is_no_failure(output: Storage) -> None:
    output.delete([f"commits/{SHARDS[2]}.json"])
    assert chosen(output, Choice()) == [(SHARDS[0], ["x1"])]


def test_a_failure_of_a_file_that_has_changed_since_is_left_alone(output: Storage) -> None:
    make_output(output, [entry("x1", "mended")], 2)
    tasks, outdated = failed_tasks(output, read_manifest(output), Choice())
    assert [task.shard for task in tasks] == [SHARDS[2], "0001-000000"]
    assert outdated == 1


def test_the_commit_step_of_a_retry_changes_the_rows_in_their_places(output: Storage) -> None:
    fingerprint = str(existing_run(output)["fingerprint"])
    before = contents(output)
    (first, _), _ = failed_tasks(output, read_manifest(output), Choice())
    shard = annotated(first.shard, list(first.images), fingerprint, heal=True)
    stage = commit_step(output, fingerprint, amends=True)
    outcome = stage(shard)
    assert (outcome.images, outcome.faces, outcome.meshes) == (1, 2, 2)
    assert dict(outcome.statuses) == {"annotated": 1}
    after = contents(output)
    assert {key for key in after if after[key] != before.get(key)} == {
        f"{folder}/{SHARDS[0]}.{suffix}"
        for folder, suffix in (
            ("images", "parquet"),
            ("faces", "parquet"),
            ("meshes", "tar"),
            ("commits", "json"),
        )
    }
    assert chosen(output, Choice()) == [(SHARDS[2], ["x2", "x3"])]


def test_a_commit_that_is_repeated_finishes_what_the_dead_one_began(output: Storage) -> None:
    """Ray gives the shard to another worker, which finds a change half made."""
    fingerprint = str(existing_run(output)["fingerprint"])
    task = failed_tasks(output, read_manifest(output), Choice())[0][0]
    shard = annotated(task.shard, list(task.images), fingerprint, heal=True)
    with pytest.raises(Death):
        amend_shard(MortalStorage(output.root, 6, True), shard, fingerprint)
    assert len(pending_rewrites(output)) == 1
    assert amend_shard(output, shard, fingerprint).faces == 2
    assert pending_rewrites(output) == []
    assert main(["verify", output.root]) == 0


def test_nothing_that_failed_is_one_line(output: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(output)
    assert main(["retry", output.root, "--reason", "disk"]) == 0
    assert capsys.readouterr().out == (
        f"nothing to do: no failed images with 'disk' in the reason in {output.root}\n"
    )
    assert contents(output) == before
    whole = Storage(f"{output.root}-2")
    make_output(whole, [photo for photo in PHOTOS if f"/{BROKEN}" not in photo.uri], 2)
    assert main(["retry", whole.root]) == 0
    assert capsys.readouterr().out == f"nothing to do: no failed images in {whole.root}\n"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("detector.upsample=1", "the detector, its settings or its weights changed since"),
        ("output.meshes=false", "the configuration (decode or output) changed since"),
        ("workers.nothing=1", "unknown config key 'workers.nothing'"),
    ],
)
def test_settings_that_would_change_rows_are_refused(
    output: Storage, override: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(output)
    assert main(["retry", output.root, "--set", override]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert "--replace" not in error
    assert contents(output) == before


def test_settings_that_change_no_row_are_taken(output: Storage) -> None:
    said: list[str] = []
    summary = retry(output.root, Choice(stage="decode"), ["workers.detect=2"], say=said.append)
    assert summary.shards == 0
    assert said == [f"nothing to do: no failed images in stage decode in {output.root}"]


def test_a_damaged_ledger_is_one_line(output: Storage) -> None:
    output.write(f"images/{SHARDS[0]}.parquet", b"spoilt")
    with pytest.raises(UsageError, match=r"is no sound Parquet file.*verify OUTPUT --repair"):
        retry(output.root, say=str)


@pytest.mark.parametrize("arguments", [["--stage", "nowhere"], ["--max-failed", "2"]])
def test_flags_that_do_not_fit_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["retry", "out", *arguments])
    assert stop.value.code == 2
    assert arguments[0] in capsys.readouterr().err
