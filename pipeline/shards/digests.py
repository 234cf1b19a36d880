"""Digests of entries: a set of images that takes sixteen bytes for each, whatever the length of its URI."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.storage.locations import Entry

WIDTH = 16


def entry_digest(entry: Entry) -> bytes:
    """Hashes URI, size and etag (BLAKE2b, 16 bytes). Any two of 10^12 files share a digest with probability 10^-15."""
    text = f"{entry.uri}\0{entry.size}\0{entry.etag}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest()


class DigestSet:
    """Set of entries' digests, in a few sorted arrays of which the older ones are larger."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(len(array) for array in self._arrays)

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds entries."""
        self.add_new(list(entries))

    def add_new(self, entries: Sequence[Entry]) -> list[Entry]:
        """Adds entries, and returns those that were not in the set, each once and in order."""
        digests = [entry_digest(entry) for entry in entries]
        wanted = np.array(digests, dtype=f"S{WIDTH}")
        is_old = np.zeros(len(entries), dtype=bool)
        for array in self._arrays:
            indices = np.minimum(np.searchsorted(array, wanted), len(array) - 1)
            is_old |= array[indices] == wanted
        new = {
            digest: entry
            for digest, entry, old in zip(digests, entries, is_old.tolist(), strict=True)
            if not old
        }
        if new:
            self._arrays.append(np.sort(np.array(list(new), dtype=f"S{WIDTH}")))
            while len(self._arrays) > 1 and len(self._arrays[-2]) < 2 * len(self._arrays[-1]):
                merged = np.concatenate([self._arrays.pop(), self._arrays.pop()])
                merged.sort(kind="stable")
                self._arrays.append(merged)
        return list(new.values())
