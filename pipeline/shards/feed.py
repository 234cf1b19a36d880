"""The way from a listing to shards: a thread lists, leaves out what is known, and writes the manifest part by part.

Nothing is written before `start`, so an input that cannot be used is refused while the output is still untouched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from pipeline.config import ShardConfig
from pipeline.errors import UsageError, describe
from pipeline.shards.cutter import Cutter
from pipeline.shards.digests import KnownImages, digest
from pipeline.shards.manifest import read_known, read_manifest
from pipeline.shards.shard import ShardRef
from pipeline.sources import Listing
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

Skip = Callable[[Entry], bool]

HELD = 20_000
"""Images that may be listed before `start`."""
GRACE = 2.0
"""Seconds that a listing has to end in, for its count to decide how large the shards are."""
REFS_AHEAD = 4096
"""Shards that may wait for a worker; the listing waits, too, beyond that."""
PATIENCE = 2.0
"""Seconds that the workers wait before shards are written down that could wait for more."""


class Feed:
    """The new shards of an input, while it is still being listed. A context manager: leaving it ends the listing.

    `fresh`: new images so far; `skipped`: those that `skip` left out; `counts`: of the listing; `error`: why it ended
    early. They are final once `is_listed`, but for an `error` in writing the manifest.

    Args:
        storage: of the output; what its manifest knows is left out.
        location: the input.
        config: bounds of a shard's size.
        limit: only the first images of the input.
        skip: says of an image that it shall stay out (because it was removed, for instance).
        anew: take no notice of the manifest, since the output will be deleted before `start`.

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
        anew: bool = False,
    ) -> None:
        self.fresh = 0
        self.skipped = 0
        self.storage = storage
        self.config = config
        self.skip = skip
        self._generation = 0 if anew else read_manifest(storage).generations
        self._known, whole = (KnownImages(), set[bytes]()) if anew else read_known(storage)
        self._listing = Listing(
            location, output=storage.root, limit=limit, known=lambda container: digest(container) in whole
        )
        self.counts = self._listing.counts
        self.is_listed = False
        self.error = ""
        self._full = self._closed = self._failed = self._exhausted = False
        self._held: list[Entry] = []
        self._whole: list[Entry] = []
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
        """Waits until something new is found, or the listing ends without; says which.

        Raises:
            UsageError: the input cannot be read, or holds no image.
        """
        with self._state:
            self._state.wait_for(lambda: self.fresh or self.is_listed)
            if self.error:
                raise UsageError(self.error)
            return self.fresh > 0

    def settle(self) -> None:
        """Waits a moment for the listing to end, so that its count decides how large the shards are.

        Raises:
            UsageError: the listing has failed by now.
        """
        with self._state:
            left = GRACE - (time.monotonic() - self._opened)
            self._state.wait_for(lambda: self.is_listed or self._full, timeout=max(0.0, left))
            if self.error:
                raise UsageError(self.error)

    def start(self, workers: int) -> None:
        """Lets shards be cut for so many workers, and the manifest be written; what is listed by now is cut at once."""
        with self._cutting:
            self._cutter = Cutter(self.storage, self._generation, max(workers, 1), self.config)
            self._write(lambda cutter: cutter.add(self._held, self._whole))
            self._held, self._whole = [], []
            if self.is_listed:
                self._write(lambda cutter: cutter.finish())
        with self._state:
            self._state.notify_all()

    def wave(self, at_least: int) -> list[ShardRef]:
        """All shards that are there, once there are `at_least` or no more will come; none at the end (see `error`)."""
        refs: list[ShardRef] = []
        while not self._exhausted and (len(refs) < at_least or not self._refs.empty()):
            try:
                ref = self._refs.get(timeout=PATIENCE)
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
        """One by one; raises UsageError after the last one if the listing ended early."""
        while refs := self.wave(1):
            yield from refs
        if self.error:
            raise UsageError(self.error)

    def close(self) -> None:
        """Ends the listing, if it is still going on; what is not in the manifest yet is found again by the next run."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        error = ""
        try:
            for chunk in self._listing:
                fresh = self._unknown(chunk)
                self._add(fresh)
                with self._state:
                    self._state.wait_for(lambda: self._closed or self._failed or not self._is_full())
                if self._closed or self._failed:
                    break
        except UsageError as trouble:
            error = str(trouble)
        except Exception as trouble:
            error = f"the listing failed: {type(trouble).__name__}: {describe(trouble)}"
        self._add([])
        with self._state:
            self.error = self.error or error
            self.is_listed = True
            self._state.notify_all()
            self._state.wait_for(lambda: self._closed or self._cutter is not None)
        # What is left becomes shards, also after an error in the listing: they are as good as those before.
        with self._cutting:
            if not self._closed:
                self._write(lambda cutter: cutter.finish())
        self._refs.put(None)

    def _unknown(self, chunk: list[Entry]) -> list[Entry]:
        wanted = [entry for entry in chunk if not self.skip(entry)] if self.skip else chunk
        self.skipped += len(chunk) - len(wanted)
        return self._known.unknown(wanted)

    def _add(self, fresh: list[Entry]) -> None:
        whole, self.counts.whole = self.counts.whole, []
        with self._cutting:
            if self._cutter is None:
                self._held += fresh
                self._whole += whole
            else:
                self._write(lambda cutter: cutter.add(fresh, whole))
        with self._state:
            self.fresh += len(fresh)
            self._state.notify_all()

    def _is_full(self) -> bool:
        """Whether the listing waits: for `start`, or for somebody to take its shards."""
        self._full = self._cutter is None and len(self._held) >= HELD
        if self._full:
            self._state.notify_all()
        return self._full or self._refs.qsize() >= REFS_AHEAD

    def _write(self, step: Callable[[Cutter], list[ShardRef]]) -> None:
        """A step of the cutter, whose shards are handed on; after one that failed there is no further step."""
        if self._cutter is None or self._failed:
            return
        try:
            refs = step(self._cutter)
        except Exception as trouble:
            # A store raises many types. The run goes on with the shards that the manifest holds, and then says this.
            self._failed = True
            self.error = f"cannot write the manifest of {self.storage.root}: {describe(trouble)}"
            return
        for ref in refs:
            self._refs.put(ref)
