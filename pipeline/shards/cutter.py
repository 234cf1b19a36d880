"""Cuts a stream of new images into shards, and writes them as parts of one generation of the manifest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.config import ShardConfig
from pipeline.shards.manifest import shard_id, shard_size, write_part
from pipeline.shards.shard import ShardRef, ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

PART_IMAGES = 20_000
PACE = 0.1
"""A part is written after this share of the time so far: the parts stay few, and no worker waits long for the next."""


class Cutter:
    """Shards of the images that are added, in their order; their size grows with the count, as `shard_size` says.

    Args:
        storage: of the output.
        generation: a number that the manifest does not have.
        workers: who shall be kept busy.
        config: bounds of a shard's size.
        clock: seconds.
    """

    def __init__(
        self,
        storage: Storage,
        generation: int,
        workers: int,
        config: ShardConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage
        self.generation = generation
        self.workers = workers
        self.config = config
        self.clock = clock
        self.began = self.wrote = clock()
        self.added = self.cut = self.shards = self.parts = 0
        self._waiting: deque[Entry] = deque()
        self._tasks: list[ShardTask] = []
        self._whole: deque[tuple[int, Entry]] = deque()

    def add(self, images: Sequence[Entry], whole: Sequence[Entry] = ()) -> list[ShardRef]:
        """Takes images, and containers that end with them; gives the shards that this made it write."""
        self.added += len(images)
        self._waiting += images
        self._whole += [(self.added, container) for container in whole]
        size = shard_size(self.added, self.workers, self.config)
        written: list[ShardRef] = []
        while len(self._waiting) >= size:
            self._cut(size)
            if self.cut_unwritten >= PART_IMAGES:
                written += self._write()
        now = self.clock()
        if now - self.wrote >= PACE * (now - self.began):
            written += self.flush()
        return written

    def flush(self) -> list[ShardRef]:
        """Writes the shards that are cut, if there are any."""
        return self._write() if self._tasks else []

    def finish(self) -> list[ShardRef]:
        """Cuts and writes what is left."""
        size = shard_size(self.added, self.workers, self.config)
        written: list[ShardRef] = []
        while self._waiting:
            self._cut(size)
            if self.cut_unwritten >= PART_IMAGES:
                written += self._write()
        return written + self.flush()

    @property
    def cut_unwritten(self) -> int:
        return sum(len(task.images) for task in self._tasks)

    def _cut(self, size: int) -> None:
        """One shard. No URI is in it twice: a tar may hold a name again, and what belongs to which must stay clear."""
        images: dict[str, Entry] = {}
        while self._waiting and len(images) < size and self._waiting[0].uri not in images:
            entry = self._waiting.popleft()
            images[entry.uri] = entry
        self._tasks.append(ShardTask(shard_id(self.generation, self.shards), tuple(images.values())))
        self.shards += 1
        self.cut += len(images)

    def _write(self) -> list[ShardRef]:
        whole = []
        while self._whole and self._whole[0][0] <= self.cut:
            whole.append(self._whole.popleft()[1])
        refs = write_part(self.storage, self.generation, self.parts, self._tasks, whole)
        self._tasks = []
        self.parts += 1
        self.wrote = self.clock()
        return refs
