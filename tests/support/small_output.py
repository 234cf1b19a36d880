"""Small committed outputs made without Ray or a detector, and storage that dies at a chosen operation."""

from __future__ import annotations

import hashlib

import numpy as np
from fake_model import FakeAnnotator, FakeSource
from manifests import add_shards

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig
from pipeline.output.commit import commit_shard
from pipeline.output.run_json import existing_run, write_record
from pipeline.run.setup import new_record, set_up
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.shards.shard import AnnotatedShard, DetectedFace, DetectedShard, ImageRecord
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

FACELESS, BROKEN = "n", "x"
"""What the name of a photo starts with if it has no face, or if it fails."""


def image_id_of(content: str) -> str:
    """The id of a photo with this content."""
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def entry(name: str, content: str | None = None) -> Entry:
    """A photo; its ETag tells its content, which is its name unless it is said."""
    return Entry(f"/photos/{name}.png", 9, content or name)


def annotated(shard: str, images: list[Entry], fingerprint: str, heal: bool = False) -> AnnotatedShard:
    """What the stages say of these photos: two faces in most; `heal`: those that fail have faces now, too."""
    records, faces = [], []
    for number, image in enumerate(images):
        name = image.uri.removeprefix("/photos/")
        content = image.etag or ""
        if name.startswith(BROKEN) and not heal:
            records.append(ImageRecord(image.uri, shard, "failed", "fetch", reason=f"Timeout of {name}"))
            continue
        count = 0 if name.startswith(FACELESS) else 2
        records.append(
            ImageRecord(
                image.uri,
                shard,
                "annotated" if count else "no_face",
                "detect",
                image_id_of(content),
                9,
                90,
                90,
                n_faces=count,
            )
        )
        for index in range(count):
            face_id = image_id_of(f"{content} {index}")
            faces.append(DetectedFace(number, face_id, index, (1, 2, 3, 4), 0.5, None, np.eye(2, 3), 50.0))
    crops = np.full((len(faces), 112, 112, 3), 99, np.uint8)
    return AnnotateFaces(RunConfig(), FakeAnnotator(), fingerprint)(
        DetectedShard(shard, records, faces, crops)
    )


def make_output(storage: Storage, photos: list[Entry], size: int) -> str:
    """Adds committed shards of `size` photos to an output, new or not, and returns its fingerprint."""
    if not storage.exists("run.json"):
        write_record(storage, new_record(set_up(RunConfig(), FakeSource())))
    fingerprint = str(existing_run(storage)["fingerprint"])
    before = read_manifest(storage)
    after = add_shards(storage, photos, size)
    for task in map(ShardLoader(storage), after.shards[len(before.shards) :]):
        commit_shard(storage, annotated(task.shard, list(task.images), fingerprint), fingerprint)
    return fingerprint


def contents(storage: Storage) -> dict[str, bytes]:
    """Everything that is stored, hidden files included."""
    return {key: storage.read(key) for key in storage.keys(hidden=True)}


class Death(Exception):
    """The process ends here."""


class MortalStorage(Storage):
    """Dies at its n-th write or removal of one file, before or after it took effect; then nothing works any more."""

    def __init__(self, location: str, operations: int, after: bool) -> None:
        super().__init__(location)
        self.left = operations
        self.after = after

    @property
    def is_dead(self) -> bool:
        return self.left <= 0

    def write(self, key: str, data: bytes) -> None:
        if self._survives():
            super().write(key, data)
        self._breathe()

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            if self._survives():
                super().delete([key])
            self._breathe()

    def _survives(self) -> bool:
        """Counts an operation; whether it takes effect."""
        if self.is_dead:
            raise Death
        self.left -= 1
        return self.left > 0 or self.after

    def _breathe(self) -> None:
        if self.is_dead:
            raise Death
