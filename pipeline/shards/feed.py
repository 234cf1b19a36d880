"""The feed: a thread that lists an input, leaves out what the manifest has, and writes the new images as shards.

Nothing is written before `start`, so an input that cannot be used is refused while the output is still untouched. The
shards are taken in waves: all that are ready, once there are enough of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from pipeline.config import ShardConfig
from pipeline.errors import UsageError, describe
from pipeline.shards.cutter import Cutter
from pipeline.shards.digests import DigestSet, entry_digest
from pipeline.shards.manifest import read_digests, read_manifest
from pipeline.shards.shard import ShardRef
from pipeline.sources import Listing
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

Skip = Callable[[Entry], bool]

LISTED_BEFORE_START = 20_000
"""Images that are listed before `start`, at most."""
SETTLE_SECONDS = 2.0
"""Seconds in which a listing must end for its count to decide how large the shards are."""
REFS_AHEAD = 4096
"""Shards that wait to be taken, at most; beyond that the listing waits."""
FLUSH_SECONDS = 2.0
"""Seconds after which shards are written for a waiting wave, though their part of the manifest has room for more."""


class Feed:
    """The new shards of an input, while it is still being listed. A context manager: leaving it ends the listing.

    `new_images`: so far; `skipped_images`: left out by `skip`; `counts`: of the listing; `error`: why it ended early.
    They are final once `is_listed`, but for an `error` in writing the manifest.

    Args:
        storage: of the output; images in its manifest are left out.
        location: the input.
        config: bounds of a shard's size.
        limit: only the first images of the input.
        skip: tells of an image whether to leave it out (because it was forgotten, for instance).
        ignore_manifest: take all images for new, since the output will be deleted before `start`.

    Raises (when made):
        UsageError: the input does not exist or cannot be reached.
    """

    def __init__(
        self,
        storage: Storage,
        location: str,
        config: ShardConfig,
        *,
        limit: int | None = None,
        skip: Skip | None = None,
        ignore_manifest: bool = False,
    ) -> None:
        self.new_images = 0
        self.skipped_images = 0
        self.storage = storage
        self.config = config
        self.skip = skip
        self._generation = 0 if ignore_manifest else read_manifest(storage).generations
        self._digests, complete = (DigestSet(), set[bytes]()) if ignore_manifest else read_digests(storage)
        self._listing = Listing(
            location,
            output=storage.root,
            limit=limit,
            is_complete=lambda container: entry_digest(container) in complete,
        )
        self.counts = self._listing.counts
        self.is_listed = False
        self.error = ""
        self._full = self._closed = self._failed = self._exhausted = False
        self._images: list[Entry] = []
        self._containers: list[Entry] = []
        self._cutter: Cutter | None = None
        self._cutting = threading.Lock()
        self._state = threading.Condition()
        self._refs: Queue[ShardRef | None] = Queue()
        self._opened = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def wait(self) -> bool:
        """Waits until there is a new image or the listing ends, and tells whether there is one.

        Raises:
            UsageError: the input cannot be read, or holds no image.
        """
        with self._state:
            self._state.wait_for(lambda: self.new_images or self.is_listed)
            if self.error:
                raise UsageError(self.error)
            return self.new_images > 0

    def settle(self) -> None:
        """Waits up to `SETTLE_SECONDS` for the listing to end, so that its count decides how large the shards are.

        Raises:
            UsageError: the listing has failed by now.
        """
        with self._state:
            remaining = SETTLE_SECONDS - (time.monotonic() - self._opened)
            self._state.wait_for(lambda: self.is_listed or self._full, timeout=max(0.0, remaining))
            if self.error:
                raise UsageError(self.error)

    def start(self, workers: int) -> None:
        """Starts to cut shards for so many workers and to write the manifest, with what has been listed so far."""
        with self._cutting:
            self._cutter = Cutter(self.storage, self._generation, max(workers, 1), self.config)
            self._write(lambda cutter: cutter.add(self._images, self._containers))
            self._images, self._containers = [], []
            if self.is_listed:
                self._write(lambda cutter: cutter.finish())
        with self._state:
            self._state.notify_all()

    def wave(self, at_least: int) -> list[ShardRef]:
        """Takes all shards that are ready, once there are `at_least` or the listing has ended; none at the end."""
        refs: list[ShardRef] = []
        while not self._exhausted and (len(refs) < at_least or not self._refs.empty()):
            try:
                ref = self._refs.get(timeout=FLUSH_SECONDS)
            except Empty:
                # Shards that are cut wait for others to share a part of the manifest with, but not while nobody works.
                with self._cutting:
                    self._write(lambda cutter: cutter.flush())
                continue
            if ref is None:
                self._exhausted = True
            else:
                refs.append(ref)
        with self._state:
            self._state.notify_all()
        return refs

    def __iter__(self) -> Iterator[ShardRef]:
        """Yields the shards one by one; raises UsageError after the last one if the listing ended early."""
        while refs := self.wave(1):
            yield from refs
        if self.error:
            raise UsageError(self.error)

    def close(self) -> None:
        """Ends the listing; images that are not in the manifest yet are listed again by the next run."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        """Lists, adds and at last cuts all images: what the thread does."""
        error = ""
        try:
            for chunk in self._listing:
                self._add(self._select_new(chunk))
                with self._state:
                    self._state.wait_for(lambda: self._closed or self._failed or not self._is_full())
                if self._closed or self._failed:
                    break
        except UsageError as failure:
            error = str(failure)
        except Exception as failure:
            error = f"the listing failed: {type(failure).__name__}: {describe(failure)}"
        self._add([])
        with self._state:
            self.error = self.error or error
            self.is_listed = True
            self._state.notify_all()
            self._state.wait_for(lambda: self._closed or self._cutter is not None)
        # The remaining images become shards, also after an error in the listing: they are as good as those before.
        with self._cutting:
            if not self._closed:
                self._write(lambda cutter: cutter.finish())
        self._refs.put(None)

    def _select_new(self, chunk: list[Entry]) -> list[Entry]:
        """Returns the images that neither `skip` nor the manifest leaves out, each once."""
        wanted = [entry for entry in chunk if not self.skip(entry)] if self.skip else chunk
        self.skipped_images += len(chunk) - len(wanted)
        return self._digests.add_new(wanted)

    def _add(self, images: list[Entry]) -> None:
        """Adds new images, and the containers that are complete by now, to the cutter, or keeps them until `start`."""
        complete, self.counts.complete = self.counts.complete, []
        with self._cutting:
            if self._cutter is None:
                self._images += images
                self._containers += complete
            else:
                self._write(lambda cutter: cutter.add(images, complete))
        with self._state:
            self.new_images += len(images)
            self._state.notify_all()

    def _is_full(self) -> bool:
        """Tells whether the listing must wait: for `start`, or for its shards to be taken."""
        self._full = self._cutter is None and len(self._images) >= LISTED_BEFORE_START
        if self._full:
            self._state.notify_all()
        return self._full or self._refs.qsize() >= REFS_AHEAD

    def _write(self, step: Callable[[Cutter], list[ShardRef]]) -> None:
        """Calls the cutter, and hands its shards on; once a call has failed, no other is made."""
        if self._cutter is None or self._failed:
            return
        try:
            refs = step(self._cutter)
        except Exception as failure:
            # A store raises many types. The run goes on with the shards that the manifest holds, and then says this.
            self._failed = True
            self.error = f"cannot write the manifest of {self.storage.root}: {describe(failure)}"
            return
        for ref in refs:
            self._refs.put(ref)
