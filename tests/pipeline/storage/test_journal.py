"""A process that dies while it changes committed files, at every single write and removal in turn."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from listing import tasks_of
from small_output import Death, MortalStorage, annotated, contents, entry, make_output

from pipeline.errors import UsageError
from pipeline.output.amend import amend_shard
from pipeline.output.meshes import tar_names
from pipeline.storage.journal import finish_rewrite, pending_rewrites, replay_journal, rewrite_atomically
from pipeline.storage.store import Storage
from pipeline.upkeep.forget import forget
from pipeline.upkeep.verify import verify

SHARD = "0000-000000"
PHOTOS = [entry(name) for name in ("a", "x", "b", "n", "x2", "c")]


def settled(storage: Storage) -> dict[str, bytes]:
    """Everything that is stored; the times are taken out."""
    found = contents(storage)
    for key in found:
        if key.endswith(".json"):
            found[key] = json.dumps({**json.loads(found[key]), "committed": "", "created": ""}).encode()
    return found


def amend(storage: Storage) -> None:
    task = tasks_of(storage)[0]
    again = [image for image in task.images if "/x" in image.uri]
    fingerprint = json.loads(storage.read("run.json"))["fingerprint"]
    amend_shard(storage, annotated(SHARD, again, fingerprint, heal=True), fingerprint)


def forget_two(storage: Storage) -> None:
    ids = {row["uri"]: row["image_id"] for row in ledger(storage)}
    try:
        forget(storage, [ids["/photos/a.png"], ids["/photos/n.png"]])
    except UsageError as error:
        # `forget` tells the user of storage that refuses; here the process is dead.
        raise Death from error


def ledger(storage: Storage) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for key in storage.keys("images"):
        rows += pq.read_table(storage_file(storage, key)).to_pylist()
    return rows


def storage_file(storage: Storage, key: str) -> io.BytesIO:
    return io.BytesIO(storage.read(key))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("change", [amend, forget_two])
def test_whenever_it_dies_all_or_nothing_has_changed(
    tmp_path: Path, change: Callable[[Storage], None], after: bool
) -> None:
    before = Storage(str(tmp_path / "before"))
    fingerprint = make_output(before, PHOTOS, 4)
    before.write("report/index.html", b"a page")

    def fresh(name: str) -> Storage:
        return Storage(str(shutil.copytree(before.root, tmp_path / name)))

    old = settled(before)
    changed = fresh("changed")
    change(changed)
    new = settled(changed)
    assert old.keys() - {"report/index.html"} <= new.keys() | {"report/index.html"}
    assert {key for key in old if old[key] != new.get(key)} > {f"commits/{SHARD}.json"}

    outcomes = []
    for operation in range(1, 100):
        storage = fresh(str(operation))
        mortal = MortalStorage(storage.root, operation, after)
        if not died(mortal, change):
            break
        was_pending = bool(pending_rewrites(storage))
        if was_pending:
            assert any("a change was interrupted" in line for line in verify(storage, fingerprint).problems)
        # The one that finishes it may die as well, anywhere.
        for second in range(1, 100):
            if not died(MortalStorage(storage.root, second, after), replay_journal):
                break
        assert replay_journal(storage) == []
        assert verify(storage, fingerprint).problems == []
        state = settled(storage)
        assert state in (old, new)
        assert state == new or not was_pending
        outcomes.append(state == new)
    assert mortal.left > 0
    assert outcomes == sorted(outcomes), "once it has happened, it has happened"
    assert False in outcomes and True in outcomes


def died(storage: MortalStorage, change: Callable[[Storage], object]) -> bool:
    try:
        change(storage)
    except Death:
        return True
    return False


def write_all(storage: Storage, name: str, also: Callable[[], object], *data: bytes) -> None:
    """Changes images/NAME.0, images/NAME.1, ..."""
    with rewrite_atomically(storage, name) as changes:
        for number, one in enumerate(data):
            changes.write(f"images/{name}.{number}", one)
        also()


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        write_all(storage, "x", lambda: 1 // 0, b"1")
    assert contents(storage) == {}


def test_a_block_that_says_nothing_writes_nothing(tmp_path: Path) -> None:
    with rewrite_atomically(Storage(str(tmp_path)), "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_finishing_one_change_leaves_another_alone(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    for name in ("0000-000001", "0000-000010"):
        # One staged file, then the record, then death.
        with pytest.raises(Death):
            write_all(MortalStorage(str(tmp_path), 2, True), name, lambda: None, name.encode())
    assert storage.keys("images") == []
    finish_rewrite(storage, "0000-000001")
    assert storage.keys("images") == ["images/0000-000001.0"]
    assert replay_journal(storage) == ["finished a change of 1 files that had been interrupted"]
    assert storage.keys("images") == ["images/0000-000001.0", "images/0000-000010.0"]


@pytest.mark.parametrize("damage", ["lost", "changed", "no json", "foreign", "outside"])
def test_a_damaged_journal_is_one_line_and_changes_nothing(tmp_path: Path, damage: str) -> None:
    storage = Storage(str(tmp_path / "out"))
    storage.write("images/x.0", b"old")
    with pytest.raises(Death):
        write_all(MortalStorage(storage.root, 3, True), "x", lambda: None, b"new", b"newer")
    (key,) = pending_rewrites(storage)
    record = json.loads(storage.read(key))
    if damage == "lost":
        storage.delete([record["write"][1]["staged"]])
    elif damage == "changed":
        storage.write(record["write"][1]["staged"], b"other")
    elif damage == "no json":
        storage.write(key, b"{")
    elif damage == "foreign":
        storage.write(key, b"{}")
    else:
        record["write"][0]["path"] = "../b"
        storage.write(key, json.dumps(record).encode())
    with pytest.raises(UsageError, match="remove it by hand") as caught:
        replay_journal(storage)
    assert "\n" not in str(caught.value)
    assert storage.read("images/x.0") == b"old"
    assert storage.keys("images") == ["images/x.0"]
    assert not (tmp_path / "b").exists()


def test_amended_rows_take_their_places_and_all_others_stay(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fingerprint = make_output(storage, PHOTOS, 4)
    before = tables(storage)
    pack = (tmp_path / "meshes" / f"{SHARD}.tar").read_bytes()
    amend(storage)
    images, faces = tables(storage)
    uris = [entry.uri for entry in PHOTOS[:4]]
    assert [row["uri"] for row in images] == uris
    assert [row["status"] for row in images] == ["annotated", "annotated", "annotated", "no_face"]
    assert [(row["uri"], row["face_index"]) for row in faces] == [
        (uri, i) for uri in uris[:3] for i in (0, 1)
    ]
    assert [row for row in images if "/x" not in row["uri"]] == [
        row for row in before[0] if "/x" not in row["uri"]
    ]
    assert [row for row in faces if "/x" not in row["uri"]] == before[1]
    after = (tmp_path / "meshes" / f"{SHARD}.tar").read_bytes()
    assert set(tar_names(pack)) < set(tar_names(after))
    assert verify(storage, fingerprint).line == "OK: 6 images, 8 faces, 8 meshes"
    amend(storage)
    assert tables(storage) == (images, faces)


def test_a_shard_without_any_face_is_amended(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fingerprint = make_output(storage, [entry("x"), entry("n")], 2)
    for heal, counts in ((False, "2 images, 0 faces, 0 meshes"), (True, "2 images, 2 faces, 2 meshes")):
        amend_shard(storage, annotated(SHARD, [entry("x")], fingerprint, heal), fingerprint)
        assert verify(storage, fingerprint).line == f"OK: {counts}"


def tables(storage: Storage) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    images, faces = (
        pq.read_table(storage_file(storage, f"{name}/{SHARD}.parquet")).to_pylist()
        for name in ("images", "faces")
    )
    return images, faces


def test_what_was_never_there_cannot_be_amended(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fingerprint = make_output(storage, PHOTOS, 4)
    before = contents(storage)
    with pytest.raises(UsageError, match="not those of the committed shard"):
        amend_shard(storage, annotated(SHARD, [entry("stranger")], fingerprint), fingerprint)
    with pytest.raises(UsageError, match="made by something else"):
        amend_shard(storage, annotated(SHARD, [PHOTOS[1]], "another"), fingerprint)
    assert contents(storage) == before


def test_a_damaged_shard_is_not_amended(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    make_output(storage, PHOTOS, 4)
    storage.write(f"faces/{SHARD}.parquet", b"spoilt")
    with pytest.raises(UsageError, match=r"has changed since it was committed.*verify OUTPUT --repair"):
        amend(storage)
    assert storage.read(f"faces/{SHARD}.parquet") == b"spoilt"
