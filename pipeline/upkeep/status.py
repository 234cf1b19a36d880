"""Status of an output: how far it is, from its manifest and commits alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline.output.commit import committed_shards, read_valid_commit
from pipeline.shards.manifest import read_manifest
from pipeline.shards.tombstones import read_tombstones
from pipeline.storage.store import Storage


@dataclass(frozen=True)
class RunStatus:
    """Counts of an output: images and shards in the manifest and committed (`_done`), faces, meshes, images by status,
    and forgotten ones, which are in no other count.
    """

    images: int
    images_done: int
    shards: int
    shards_done: int
    faces: int
    meshes: int
    statuses: Counter[str]
    forgotten: int
    last_commit: str | None

    @property
    def is_complete(self) -> bool:
        """Whether every shard is committed."""
        return self.shards == self.shards_done


def read_status(storage: Storage) -> RunStatus:
    """Reads the manifest, every commit and the tombstones, and no table.

    Raises:
        UsageError: one of them is damaged.
    """
    manifest = read_manifest(storage)
    commits = [read_valid_commit(storage, shard) for shard in committed_shards(storage)]
    statuses: Counter[str] = Counter()
    for commit in commits:
        statuses.update(commit["statuses"])
    return RunStatus(
        images=manifest.n_images,
        images_done=sum(commit["images"] for commit in commits),
        shards=len(manifest.shards),
        shards_done=len(commits),
        faces=sum(commit["faces"] for commit in commits),
        meshes=sum(commit["meshes"] for commit in commits),
        statuses=statuses,
        forgotten=len(read_tombstones(storage).image_ids),
        last_commit=max((str(commit["committed"]) for commit in commits), default=None),
    )
