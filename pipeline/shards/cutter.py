"""Cutting a stream of new images into shards, written as the parts of one generation of the manifest."""

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
"""A part is written as soon as it has so many images."""
WRITE_SHARE = 0.1
"""A part is also written after this share of the time so far: parts stay few, and no worker waits long for the next."""


class Cutter:
    """Cutter of images into shards, in their order; shards grow with the number of images, as `shard_size` says.

    Args:
        storage: of the output.
        generation: a number that the manifest does not have.
        workers: the number of workers to keep busy.
        config: bounds of a shard's size.
        clock: returns seconds.
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
        self.started = self.last_write = clock()
        self.added = self.cut = self.shards = self.parts = 0
        self._uncut: deque[Entry] = deque()
        self._tasks: list[ShardTask] = []
        self._containers: deque[tuple[int, Entry]] = deque()

    def add(self, images: Sequence[Entry], complete: Sequence[Entry] = ()) -> list[ShardRef]:
        """Adds images, and containers whose last image is among them; returns the shards that were written."""
        self.added += len(images)
        self._uncut += images
        self._containers += [(self.added, container) for container in complete]
        size = shard_size(self.added, self.workers, self.config)
        written: list[ShardRef] = []
        while len(self._uncut) >= size:
            self._cut(size)
            if self.unwritten_images >= PART_IMAGES:
                written += self._write()
        now = self.clock()
        if now - self.last_write >= WRITE_SHARE * (now - self.started):
            written += self.flush()
        return written

    def flush(self) -> list[ShardRef]:
        """Writes the shards that are cut, and returns them."""
        return self._write() if self._tasks else []

    def finish(self) -> list[ShardRef]:
        """Cuts and writes all remaining images, and returns their shards."""
        size = shard_size(self.added, self.workers, self.config)
        written: list[ShardRef] = []
        while self._uncut:
            self._cut(size)
            if self.unwritten_images >= PART_IMAGES:
                written += self._write()
        return written + self.flush()

    @property
    def unwritten_images(self) -> int:
        """Number of images in shards that are cut but not written."""
        return sum(len(task.images) for task in self._tasks)

    def _cut(self, size: int) -> None:
        """Cuts one shard, which holds no URI twice: a tar may hold a name twice, and rows are assigned by URI."""
        images: dict[str, Entry] = {}
        while self._uncut and len(images) < size and self._uncut[0].uri not in images:
            entry = self._uncut.popleft()
            images[entry.uri] = entry
        self._tasks.append(ShardTask(shard_id(self.generation, self.shards), tuple(images.values())))
        self.shards += 1
        self.cut += len(images)

    def _write(self) -> list[ShardRef]:
        """Writes the shards that are cut as the next part, with the containers that it completes."""
        complete = []
        while self._containers and self._containers[0][0] <= self.cut:
            complete.append(self._containers.popleft()[1])
        refs = write_part(self.storage, self.generation, self.parts, self._tasks, complete)
        self._tasks = []
        self.parts += 1
        self.last_write = self.clock()
        return refs
