"""Commits, and what verify says of outputs that are whole or damaged in one way each."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import trimesh
from fake_model import FakeAnnotator
from manifests import add_shards

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig
from pipeline.output.commit import commit_shard, committed_shards, read_commit
from pipeline.output.meshes import pack_meshes, tar_names
from pipeline.shards.manifest import ShardLoader
from pipeline.shards.shard import AnnotatedShard, DetectedFace, DetectedShard, ImageRecord, MeshData
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage
from pipeline.upkeep.status import read_status
from pipeline.upkeep.verify import verify

PRINT = "fingerprint"
SHARD = "0000-000000"


def annotated(shard: str, images: list[Entry]) -> AnnotatedShard:
    """One face in every image but the last, which has none."""
    records, faces = [], []
    for number, entry in enumerate(images):
        found = number < len(images) - 1
        status = "annotated" if found else "no_face"
        records.append(
            ImageRecord(entry.uri, shard, status, "detect", entry.uri[-5], 9, 90, 90, n_faces=int(found))
        )
        if found:
            face_id = f"face{entry.uri[-5]}"
            faces.append(DetectedFace(number, face_id, 0, (1, 2, 3, 4), 0.5, None, np.eye(2, 3), 50.0))
    crops = np.full((len(faces), 112, 112, 3), 99, np.uint8)
    return AnnotateFaces(RunConfig(), FakeAnnotator(), PRINT)(DetectedShard(shard, records, faces, crops))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two shards of three images each, all committed."""
    storage = Storage(str(tmp_path))
    entries = [Entry(f"/photos/{name}.png", 9, "1") for name in "abcdef"]
    manifest = add_shards(storage, entries, 3)
    load = ShardLoader(storage)
    for ref in manifest.shards:
        commit_shard(storage, annotated(ref.shard, list(load(ref).images)), PRINT)
    return tmp_path


def test_a_commit_names_every_file_with_its_hash(output: Path) -> None:
    storage = Storage(str(output))
    assert committed_shards(storage) == ["0000-000000", "0000-000001"]
    commit = read_commit(storage, SHARD)
    assert [file["path"] for file in commit["files"]] == [
        f"images/{SHARD}.parquet",
        f"faces/{SHARD}.parquet",
        f"meshes/{SHARD}.tar",
    ]
    assert (commit["images"], commit["faces"], commit["meshes"]) == (3, 2, 2)
    assert commit["statuses"] == {"annotated": 2, "no_face": 1}


def test_the_commit_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, written = Storage(str(tmp_path)), []
    monkeypatch.setattr(storage, "write", lambda key, data: written.append(key))
    commit_shard(storage, annotated(SHARD, [Entry("/a.png", 1, "1"), Entry("/b.png", 1, "1")]), PRINT)
    assert written[-1] == f"commits/{SHARD}.json"
    assert len(written) == 4


def test_a_second_commit_of_the_same_shard_changes_nothing(output: Path) -> None:
    storage = Storage(str(output))
    before = {key: storage.read(key) for key in storage.keys()}
    entries = [Entry(f"/photos/{name}.png", 9, "1") for name in "abc"]
    commit_shard(storage, annotated(SHARD, entries), PRINT)
    after = {key: storage.read(key) for key in storage.keys()}
    assert {key for key in before if before[key] != after.get(key)} <= {f"commits/{SHARD}.json"}
    assert before.keys() == after.keys()


def test_a_whole_output_is_ok(output: Path) -> None:
    verdict = verify(Storage(str(output)), PRINT)
    assert verdict.problems == []
    assert verdict.line == "OK: 6 images, 4 faces, 4 meshes"


def test_a_ledger_from_before_captions_were_kept_is_whole(output: Path) -> None:
    for path in (output / "images").iterdir():
        pq.write_table(pq.read_table(path).drop_columns("source_caption"), path)
        commit = output / "commits" / f"{path.stem}.json"
        said = json.loads(commit.read_text())
        said["files"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        commit.write_text(json.dumps(said))
    assert verify(Storage(str(output)), PRINT).problems == []


def test_pandas_reads_the_tables(output: Path) -> None:
    faces = pandas.read_parquet(output / "faces")
    assert sorted(faces["face_id"]) == ["facea", "faceb", "faced", "facee"]
    assert faces["landmarks68"][0].shape == (136,)
    assert len(pandas.read_parquet(output / "images")) == 6


def test_meshes_open_in_trimesh(output: Path) -> None:
    data = (output / "meshes" / f"{SHARD}.tar").read_bytes()
    assert tar_names(data) == ["facea.glb", "faceb.glb"]
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file = tar.extractfile("facea.glb")
        assert file is not None
        mesh = trimesh.load_mesh(io.BytesIO(file.read()), file_type="glb")
    assert mesh.vertices.shape == (4, 3)
    assert mesh.faces.shape == (4, 3)
    assert mesh.visual.vertex_colors[:, :3].tolist() == [[128, 128, 128]] * 4


def test_packs_are_deterministic() -> None:
    vertices = np.zeros((2, 3, 3), np.float32)
    meshes = MeshData(["b", "a"], vertices, np.zeros((2, 3, 3), np.uint8), np.array([[0, 1, 2]]))
    assert pack_meshes(meshes) == pack_meshes(meshes)
    assert tar_names(pack_meshes(meshes)) == ["a.glb", "b.glb"]


def test_status_counts_from_the_commits(output: Path) -> None:
    status = read_status(Storage(str(output)))
    assert (status.images, status.images_done, status.shards, status.shards_done) == (6, 6, 2, 2)
    assert (status.faces, status.meshes, status.is_complete) == (4, 4, True)
    (output / "commits" / f"{SHARD}.json").unlink()
    status = read_status(Storage(str(output)))
    assert (status.images_done, status.shards_done, status.is_complete) == (3, 1, False)


def edit_commit(output: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = output / "commits" / f"{SHARD}.json"
    commit = json.loads(path.read_text())
    change(commit)
    path.write_text(json.dumps(commit))


def rewrite(output: Path, name: str, keep: Callable[[pandas.DataFrame], list[int]]) -> None:
    """Replaces a table by some of its rows, and the commit's hash with it: only the contents are wrong then."""
    import hashlib

    path = output / name
    table = pq.read_table(path)
    pq.write_table(table.take(keep(table.to_pandas())), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def change(commit: dict[str, object]) -> None:
        for file in commit["files"]:  # type: ignore[attr-defined]
            if file["path"] == name:
                file["sha256"] = digest

    edit_commit(output, change)


IMAGES, FACES = f"images/{SHARD}.parquet", f"faces/{SHARD}.parquet"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no commit": (lambda o: (o / "commits" / f"{SHARD}.json").unlink(), "not committed"),
    "unreadable commit": (lambda o: (o / "commits" / f"{SHARD}.json").write_text("{"), "cannot be read"),
    "foreign commit": (
        lambda o: (o / "commits" / "0009-000000.json").write_text("{}"),
        "manifest does not know it",
    ),
    "other fingerprint": (lambda o: edit_commit(o, lambda c: c.update(fingerprint="x")), "not the run's"),
    "lost table": (lambda o: (o / FACES).unlink(), "missing"),
    "changed table": (lambda o: (o / FACES).write_bytes((o / FACES).read_bytes()[:-9]), "its sha256 differs"),
    "lost pack": (lambda o: (o / "meshes" / f"{SHARD}.tar").unlink(), "missing"),
    "lost image": (lambda o: rewrite(o, IMAGES, lambda t: [0, 1]), "no ledger row for /photos/c.png"),
    "doubled image": (
        lambda o: rewrite(o, IMAGES, lambda t: [0, 1, 2, 2]),
        "a ledger row too many for /photos/c.png",
    ),
    "lost face": (lambda o: rewrite(o, FACES, lambda t: [0]), "faceb.glb belongs to no face"),
    "doubled face": (lambda o: rewrite(o, FACES, lambda t: [0, 1, 1]), "is there 2 times"),
    "face without image": (lambda o: rewrite(o, IMAGES, lambda t: [1, 2]), "facea has no annotated image"),
    "orphan table": (
        lambda o: (o / "faces" / "0007-000000.parquet").write_bytes(b"x"),
        "belongs to no shard",
    ),
    "orphan pack": (lambda o: (o / "meshes" / "left.tar").write_bytes(b"x"), "belongs to no shard"),
    "lost manifest": (lambda o: (o / "manifest" / "0000-00000.parquet").unlink(), "the manifest is empty"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(output: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(output)
    verdict = verify(Storage(str(output)), PRINT)
    assert any(message in problem for problem in verdict.problems), verdict.problems
    assert "PROBLEMS" in verdict.line


def test_files_of_an_interrupted_shard_are_work_left_and_not_orphans(output: Path) -> None:
    (output / "commits" / f"{SHARD}.json").unlink()
    verdict = verify(Storage(str(output)), PRINT)
    assert verdict.problems == [f"shard {SHARD}: not committed (3 images); run annotate again"]
