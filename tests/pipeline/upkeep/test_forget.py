"""Images that are forgotten: gone from everything that can be read, and not let in again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas
import pyarrow.parquet as pq
import pytest
from listing import tasks_of
from manifests import add_shards
from small_output import (
    Death,
    MortalStorage,
    annotated,
    contents,
    entry,
    image_id_of,
    make_output,
)

from pipeline.errors import UsageError
from pipeline.output.commit import commit_shard
from pipeline.output.meshes import unpack_tar
from pipeline.output.run_json import existing_run, run_keys, write_record
from pipeline.shards.manifest import ShardLoader, read_digests, read_manifest
from pipeline.shards.tombstones import read_tombstones, tombstone_table
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.upkeep.forget import forget
from pipeline.upkeep.status import read_status
from pipeline.upkeep.verify import verify
from schemas import tombstones_schema

A_COPY = entry("z", "a")
"""Has the bytes of the photo a."""
PHOTOS = [entry("a"), entry("b"), entry("c"), entry("n"), entry("x"), A_COPY]


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    """Three shards of two photos."""
    storage = Storage(str(tmp_path / "out"))
    make_output(storage, PHOTOS, 2)
    return storage


def problems(storage: Storage) -> list[str]:
    return verify(storage, str(existing_run(storage)["fingerprint"])).problems


def table(storage: Storage, name: str) -> pandas.DataFrame:
    return pandas.read_parquet(Path(storage.root) / name)


def test_an_image_and_its_copies_go_and_nothing_else(output: Storage) -> None:
    gone = image_id_of("a")
    images, faces = table(output, "images"), table(output, "faces")
    packs = {key: unpack_tar(output.read(key)) for key in output.keys("meshes")}
    untouched = {key: data for key, data in contents(output).items() if "0000-000001" in key}
    done = forget(output, [gone.upper()])
    assert (done.images, done.rows, done.faces, done.shards, done.report) == (1, 2, 4, 2, False)
    assert problems(output) == []

    def without(frame: pandas.DataFrame) -> pandas.DataFrame:
        return frame[frame["image_id"] != gone].reset_index(drop=True)

    pandas.testing.assert_frame_equal(table(output, "images"), without(images))
    pandas.testing.assert_frame_equal(table(output, "faces"), without(faces))
    wanted = set(without(faces)["mesh_member"])
    after = {key: unpack_tar(output.read(key)) for key in output.keys("meshes")}
    assert {name: data for pack in after.values() for name, data in pack.items()} == {
        name: data for pack in packs.values() for name, data in pack.items() if name in wanted
    }
    assert {key: data for key, data in contents(output).items() if "0000-000001" in key} == untouched
    assert [e.uri[8] for task in tasks_of(output) for e in task.images] == ["b", "c", "n", "x"]


def test_nothing_that_can_be_read_names_it(output: Storage) -> None:
    record = existing_run(output)
    record["invocations"] = [{"input": "/photos/a.png"}, {"input": "/photos"}]
    write_record(output, record)
    output.write("report/index.html", b"a page with /photos/a.png in it")
    output.write("notes.txt", b"of the user: /photos/a.png")
    # What killed processes left: a temporary file, and a shard that was not committed.
    (Path(output.root) / "faces" / ".s.parquet.12.34.0123abcd").write_bytes(b"/photos/a.png")
    output.write("images/0001-000000.parquet", b"/photos/a.png")
    done = forget(output, [image_id_of("a")])
    assert done.report
    assert output.keys("report") == []
    texts = b"".join(readable(key, data) for key, data in contents(output).items() if key != "notes.txt")
    assert b"/photos/a.png" not in texts
    assert b"/photos/z.png" not in texts
    assert b"/photos/b.png" in texts
    assert output.exists("notes.txt")
    assert [one["input"] for one in existing_run(output)["invocations"]] == ["(forgotten)", "/photos"]
    faces = {image_id_of(f"a {index}").encode() for index in (0, 1)}
    assert not any(face in texts for face in faces)


def readable(key: str, data: bytes) -> bytes:
    """The file, and what its compressed pages hold."""
    return data + (
        str(pq.read_table(io.BytesIO(data)).to_pylist()).encode() if key.endswith(".parquet") else b""
    )


def test_tombstones_are_hashes_and_add_up(output: Storage) -> None:
    forget(output, [image_id_of("a")])
    forget(output, [image_id_of("b"), image_id_of("n")])
    assert output.keys("tombstones") == ["tombstones/0000.parquet", "tombstones/0001.parquet"]
    written = pq.read_table(Path(output.root) / "tombstones")
    assert written.schema.names == ["image_id", "version_sha256"]
    assert written.num_rows == 4
    tombstones = read_tombstones(output)
    assert tombstones.image_ids == {image_id_of(name) for name in "abn"}
    assert [tombstones.covers(photo) for photo in PHOTOS] == [True, True, False, True, False, True]
    assert not tombstones.covers(Entry("/photos/a.png", 9, "touched"))
    assert read_status(output).forgotten == 3
    assert problems(output) == []


def test_forgetting_everything_leaves_a_whole_output_whose_shards_keep_their_numbers(
    output: Storage,
) -> None:
    forget(output, [image_id_of(name) for name in "abc"] + [image_id_of("n")])
    assert output.keys("commits") == ["commits/0000-000002.json"]
    assert problems(output) == []
    fingerprint = make_output(output, [entry("d")], 2)
    assert output.keys("commits") == ["commits/0000-000002.json", "commits/0001-000000.json"]
    forget(output, [image_id_of("d")])
    assert verify(output, fingerprint).line == "OK: 1 images, 0 faces, 0 meshes"
    manifest = read_manifest(output)
    assert manifest.generations == 2
    assert add_shards(output, [entry("e")], 2).shards[-1].shard == "0002-000000"


def test_all_of_the_only_image(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fingerprint = make_output(storage, [entry("a")], 2)
    forget(storage, [image_id_of("a")])
    assert verify(storage, fingerprint).line == "OK: 0 images, 0 faces, 0 meshes"
    assert read_status(storage).is_complete


def test_the_manifest_keeps_its_row_groups_and_its_metadata(output: Storage) -> None:
    """A group may be a shard, which is then read alone."""
    table = pq.read_table(io.BytesIO(output.read("manifest/0000-00000.parquet")))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"more": b"of it"})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    output.write("manifest/0000-00000.parquet", sink.getvalue())
    forget(output, [image_id_of("c"), image_id_of("n"), image_id_of("b")])
    file = pq.ParquetFile(io.BytesIO(output.read("manifest/0000-00000.parquet")))
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [1, 0, 2]
    assert file.schema_arrow.metadata == table.schema.metadata
    assert problems(output) == []


def test_an_unknown_image_changes_nothing(output: Storage) -> None:
    before = contents(output)
    with pytest.raises(UsageError, match=r"no image '0000' in .* \(nor 1 others\); nothing was forgotten"):
        forget(output, [image_id_of("a"), "0000", "1111"])
    assert contents(output) == before


def test_an_image_that_was_forgotten_before_is_no_error(output: Storage) -> None:
    forget(output, [image_id_of("a")])
    before = contents(output)
    done = forget(output, [image_id_of("a")])
    assert (done.images, done.forgotten_before) == (0, 1)
    assert contents(output) == before
    done = forget(output, [image_id_of("a"), image_id_of("b")])
    assert (done.images, done.forgotten_before, done.rows) == (1, 1, 1)


@pytest.mark.parametrize(
    ("key", "data", "said"),
    [
        ("faces/0000-000002.parquet", b"spoilt", " has changed since it was committed"),
        ("images/0000-000002.parquet", b"spoilt", " is no sound Parquet file"),
        ("commits/0000-000002.json", b"{", " cannot be read"),
        (
            "commits/0000-000002.json",
            b"{}",
            " does not say its committed, faces, files, fingerprint, images, meshes, statuses",
        ),
    ],
)
def test_a_shard_that_is_damaged_stops_it_before_anything_is_changed(
    output: Storage, key: str, data: bytes, said: str
) -> None:
    output.write(key, data)
    before = contents(output)
    with pytest.raises(UsageError, match=key + said) as caught:
        forget(output, [image_id_of("a")])
    assert "verify OUTPUT --repair" in str(caught.value)
    assert contents(output) == before


@pytest.mark.parametrize("operation", [1, 12, 20])
def test_a_store_that_refuses_is_one_line_and_the_same_command_goes_on(
    output: Storage, operation: int
) -> None:
    with pytest.raises(UsageError, match=r"^cannot change OUTPUT .*: Death: .*the same command again"):
        forget(MortalStorage(output.root, operation, False), [image_id_of("a")])
    done = forget(output, [image_id_of("a")])
    assert done.images + done.forgotten_before == 1
    assert read_status(output).forgotten == 1
    assert problems(output) == []


def test_tombstones_outlive_a_replaced_output(output: Storage) -> None:
    forget(output, [image_id_of("a")])
    output.delete(list(run_keys(output)))
    assert output.keys() == ["run.json", "tombstones/0000.parquet"]


def test_verify_finds_what_came_back(output: Storage) -> None:
    forget(output, [image_id_of("a")])
    assert read_digests(output)[0].add_new(PHOTOS) == [PHOTOS[0], A_COPY]
    fingerprint = make_output(output, [PHOTOS[0]], 2)
    assert verify(output, fingerprint).problems == [
        f"images/0001-000000.parquet: image {image_id_of('a')} was forgotten, but is there",
        f"faces/0001-000000.parquet: image {image_id_of('a')} was forgotten, but is there",
        "shard 0001-000000: the manifest lists 1 forgotten images",
    ]


@pytest.mark.parametrize("data", [b"spoilt", "columns"])
def test_a_tombstone_that_cannot_be_read_is_one_line(output: Storage, data: bytes | str) -> None:
    if isinstance(data, str):
        data = output.read("manifest/0000-00000.parquet")
    output.write("tombstones/0000.parquet", data)
    with pytest.raises(UsageError, match=r"tombstones/0000.parquet (is no Parquet file|has not the columns)"):
        read_tombstones(output)
    assert any("tombstones/0000.parquet" in problem for problem in problems(output))


def test_a_failed_commit_of_a_later_run_is_swept_and_not_lost(output: Storage) -> None:
    """The files of a shard without a commit may show the image; the shard stays work to do."""
    manifest = add_shards(output, [entry("d"), entry("a2", "a")], 2)
    task = ShardLoader(output)(manifest.shards[-1])
    fingerprint = str(existing_run(output)["fingerprint"])
    mortal = MortalStorage(output.root, 3, True)
    with pytest.raises(Death):
        commit_shard(mortal, annotated(task.shard, list(task.images), fingerprint), fingerprint)
    assert output.exists(f"faces/{task.shard}.parquet")
    forget(output, [image_id_of("a")])
    assert not output.exists(f"faces/{task.shard}.parquet")
    assert problems(output) == [f"shard {task.shard}: not committed (2 images); run annotate again"]


def test_the_table_holds_no_order_and_no_uri() -> None:
    made = tombstone_table([("2" * 32, entry("b")), ("1" * 32, entry("a"))])
    assert made.schema.equals(tombstones_schema(), check_metadata=True)
    assert made["image_id"].to_pylist() == ["1" * 32, "2" * 32]
    assert "photos" not in json.dumps(made.to_pylist())
