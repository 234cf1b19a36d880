"""Verifying an output: nothing is lost, nothing is there twice, nothing has changed since it was written."""

from __future__ import annotations

import hashlib
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError, describe
from pipeline.output.commit import commit_key, committed_shards, meshes_key, read_valid_commit, table_key
from pipeline.output.meshes import tar_names
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.shards.shard import ShardTask
from pipeline.shards.tombstones import Tombstones, read_tombstones
from pipeline.storage.journal import pending_rewrites
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet
from schemas import STATUSES, images_schema, read_provenance

COMPARED_COLUMNS = {
    "images": ("uri", "image_id", "status", "n_faces"),
    "faces": ("uri", "image_id", "face_id", "face_index", "mesh_member"),
}
"""Columns by which the rows of the two tables are compared."""
SUFFIXES = {"images": ".parquet", "faces": ".parquet", "meshes": ".tar"}


@dataclass
class Verdict:
    """Counts of an output, and its problems; a shard without a commit is one, too."""

    images: int = 0
    faces: int = 0
    meshes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The verdict as one line."""
        counted = f"{self.images:,} images, {self.faces:,} faces, {self.meshes:,} meshes"
        return f"{len(self.problems)} PROBLEMS in {counted}" if self.problems else f"OK: {counted}"


def verify(storage: Storage, fingerprint: str) -> Verdict:
    """Reads a whole output and checks it.

    Each row of the manifest has exactly one row in the ledger, each file the sha256 in its commit, each face its image,
    each mesh its face and the reverse. No forgotten image is there, no rewrite waits to be finished, and every file
    belongs to a commit.

    Args:
        storage: of the output.
        fingerprint: the run's; every commit and table must carry it.
    """
    verdict = Verdict()
    for key in pending_rewrites(storage):
        verdict.problems.append(
            f"{key}: a change was interrupted; annotate, retry, forget and verify --repair finish it"
        )
    tombstones = _read_tombstones(storage, verdict)
    manifest = read_manifest(storage)
    refs = {ref.shard: ref for ref in manifest.shards}
    load = ShardLoader(storage)
    committed = committed_shards(storage)
    for shard in sorted(set(refs) - set(committed)):
        verdict.problems.append(
            f"shard {shard}: not committed ({refs[shard].n_images} images); run annotate again"
        )
    for shard in sorted(set(committed) - set(refs)):
        verdict.problems.append(f"shard {shard}: committed, but the manifest does not know it")
    expected: set[str] = set()
    for shard in committed:
        if shard in refs:
            task = load(refs[shard])
            expected |= _check_shard(storage, task, fingerprint, tombstones, verdict)
            _check_entries(task, tombstones, verdict)
    if not manifest.generations:
        verdict.problems.append("the manifest is empty")
    for name, suffix in SUFFIXES.items():
        for key in storage.keys(name):
            shard = key.removeprefix(f"{name}/").removesuffix(suffix)
            if key not in expected and shard in committed:
                verdict.problems.append(f"{key}: belongs to no commit")
            elif key not in expected and shard not in refs:
                verdict.problems.append(f"{key}: belongs to no shard")
    return verdict


def _read_tombstones(storage: Storage, verdict: Verdict) -> Tombstones:
    """Reads the tombstones; damaged ones are a problem, and count as none."""
    try:
        return read_tombstones(storage)
    except UsageError as error:
        verdict.problems.append(str(error))
        return Tombstones()


def _check_entries(task: ShardTask, tombstones: Tombstones, verdict: Verdict) -> None:
    """Checks that the manifest lists no forgotten image in a shard."""
    forgotten = sum(tombstones.covers(entry) for entry in task.images)
    if forgotten:
        verdict.problems.append(f"shard {task.shard}: the manifest lists {forgotten} forgotten images")


def _check_forgotten(key: str, table: pa.Table, tombstones: Tombstones, verdict: Verdict) -> None:
    """Checks that a table holds no forgotten image."""
    for image_id in sorted({*table["image_id"].to_pylist()} & tombstones.image_ids):
        verdict.problems.append(f"{key}: image {image_id} was forgotten, but is there")


def _check_shard(
    storage: Storage, task: ShardTask, fingerprint: str, tombstones: Tombstones, verdict: Verdict
) -> set[str]:
    """Checks one committed shard; returns the keys that its commit names."""
    shard, problems = task.shard, verdict.problems
    try:
        commit = read_valid_commit(storage, shard)
        named = {str(file["path"]): str(file["sha256"]) for file in commit["files"]}
    except UsageError as error:
        problems.append(str(error))
        return set()
    except (OSError, KeyError, TypeError) as error:
        problems.append(f"{commit_key(shard)}: cannot be read ({error})")
        return set()
    if commit.get("fingerprint") != fingerprint:
        problems.append(
            f"shard {shard}: fingerprint {commit.get('fingerprint')}, not the run's {fingerprint}"
        )
    data: dict[str, bytes] = {}
    for key, digest in named.items():
        try:
            data[key] = storage.read(key)
        except FileNotFoundError:
            problems.append(f"{key}: missing")
            continue
        except OSError as error:
            problems.append(f"{key}: cannot be read ({describe(error)})")
            continue
        if hashlib.sha256(data[key]).hexdigest() != digest:
            problems.append(f"{key}: changed since it was committed (its sha256 differs)")
    tables = {
        name: _decode_table(table_key(name, shard), data, columns, problems)
        for name, columns in COMPARED_COLUMNS.items()
    }
    images, faces = tables["images"], tables["faces"]
    for name, table in tables.items():
        if table is not None:
            _check_forgotten(table_key(name, shard), table, tombstones, verdict)
    if images is not None:
        _check_ledger(task, images, commit, verdict)
    if faces is not None:
        _check_faces(shard, faces, commit, fingerprint, verdict)
    if images is not None and faces is not None:
        _check_face_counts(shard, images, faces, problems)
    if faces is not None:
        _check_meshes(shard, faces, data, verdict)
    return set(named)


def _decode_table(
    key: str, data: dict[str, bytes], columns: tuple[str, ...], problems: list[str]
) -> pa.Table | None:
    """Decodes a table; one that is missing, no table, or lacks a column of `columns` is a problem, and None."""
    if key not in data:
        return None
    try:
        table = from_parquet(data[key])
    except (pa.ArrowInvalid, OSError) as error:
        problems.append(f"{key}: not a Parquet file ({error})")
        return None
    if set(columns) - set(table.column_names):
        problems.append(f"{key}: its columns are not those of the schema")
        return None
    return table


def _check_ledger(task: ShardTask, images: pa.Table, commit: dict[str, Any], verdict: Verdict) -> None:
    """Checks the columns, URIs and statuses of a shard's ledger, and counts its images."""
    verdict.images += images.num_rows
    problems = verdict.problems
    if not _is_ledger(images.schema):
        problems.append(f"images/{task.shard}.parquet: its columns are not those of the schema")
        return
    listed, written = Counter(entry.uri for entry in task.images), Counter(images["uri"].to_pylist())
    for uri in sorted((listed - written).keys()):
        problems.append(f"shard {task.shard}: no ledger row for {uri}")
    for uri in sorted((written - listed).keys()):
        problems.append(f"shard {task.shard}: a ledger row too many for {uri}")
    statuses = Counter(images["status"].to_pylist())
    if set(statuses) - set(STATUSES):
        problems.append(f"shard {task.shard}: unknown status {sorted(set(statuses) - set(STATUSES))}")
    if dict(statuses) != commit.get("statuses"):
        problems.append(f"shard {task.shard}: statuses differ from the commit's")


def _is_ledger(schema: pa.Schema) -> bool:
    """Tells whether columns are those of `images`. An output from before a nullable column was added lacks it."""
    fields = [field for field in images_schema() if field.name in schema.names or not field.nullable]
    return bool(schema.equals(pa.schema(fields)))


def _check_faces(
    shard: str, faces: pa.Table, commit: dict[str, Any], fingerprint: str, verdict: Verdict
) -> None:
    """Checks the number and the provenance of a shard's faces, and counts them."""
    verdict.faces += faces.num_rows
    if faces.num_rows != commit.get("faces"):
        verdict.problems.append(
            f"shard {shard}: {faces.num_rows} faces, the commit says {commit.get('faces')}"
        )
    try:
        provenance = read_provenance(faces.schema)
    except (ValueError, TypeError) as error:
        verdict.problems.append(f"faces/{shard}.parquet: {error}")
        return
    if provenance.fingerprint != fingerprint:
        verdict.problems.append(
            f"faces/{shard}.parquet: made with another fingerprint ({provenance.fingerprint})"
        )


def _check_face_counts(shard: str, images: pa.Table, faces: pa.Table, problems: list[str]) -> None:
    """Checks each face against the ledger, and the ledger's counts of faces against the faces."""
    ledger = {row["uri"]: row for row in images.select(["uri", "image_id", "status", "n_faces"]).to_pylist()}
    rows = faces.select(["uri", "image_id", "face_id", "face_index"]).to_pylist()
    n_faces = Counter(row["uri"] for row in rows)
    for row in rows:
        image = ledger.get(row["uri"])
        if image is None or image["image_id"] != row["image_id"] or image["status"] != "annotated":
            problems.append(f"shard {shard}: face {row['face_id']} has no annotated image")
    for uri, image in ledger.items():
        if image["n_faces"] != n_faces[uri] or (image["status"] == "annotated") != (n_faces[uri] > 0):
            problems.append(
                f"shard {shard}: {uri} is {image['status']} with {image['n_faces']} faces, but has {n_faces[uri]}"
            )
    for (_, face_id), count in Counter((row["uri"], row["face_id"]) for row in rows).items():
        if count > 1:
            problems.append(f"shard {shard}: face {face_id} is there {count} times")


def _check_meshes(shard: str, faces: pa.Table, data: dict[str, bytes], verdict: Verdict) -> None:
    """Checks that a shard has one mesh for each name in its faces and no other, and counts them."""
    key = meshes_key(shard)
    try:
        packed = Counter(tar_names(data[key])) if key in data else Counter[str]()
    except tarfile.TarError as error:
        verdict.problems.append(f"{key}: not a tar file ({error})")
        return
    verdict.meshes += packed.total()
    # Two files with the same content have faces of the same id, whose one mesh serves both.
    wanted = {name for name in faces["mesh_member"].to_pylist() if name is not None}
    for name in sorted(wanted - set(packed)):
        verdict.problems.append(f"{key}: no mesh {name}")
    for name in sorted(set(packed) - wanted):
        verdict.problems.append(f"{key}: mesh {name} belongs to no face")
    for name, count in packed.items():
        if count > 1:
            verdict.problems.append(f"{key}: mesh {name} is there {count} times")
