"""Which images a run knows already: sixteen bytes for each, whatever the length of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.storage.locations import Entry

WIDTH = 16


def digest(entry: Entry) -> bytes:
    """Of URI, size and etag. That any two of 10^12 files share one has a chance of 10^-15."""
    text = f"{entry.uri}\0{entry.size}\0{entry.etag}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest()


class KnownImages:
    """A set of digests in a few sorted arrays, the older ones larger."""

    def __init__(self) -> None:
        self._sorted: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(len(part) for part in self._sorted)

    def add(self, entries: Iterable[Entry]) -> None:
        """Makes the entries known."""
        self.unknown(list(entries))

    def unknown(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that were not known, each once and in order; from now on they are."""
        digests = [digest(entry) for entry in entries]
        wanted = np.array(digests, dtype=f"S{WIDTH}")
        known = np.zeros(len(entries), dtype=bool)
        for part in self._sorted:
            places = np.minimum(np.searchsorted(part, wanted), len(part) - 1)
            known |= part[places] == wanted
        fresh = {
            one: entry for one, entry, old in zip(digests, entries, known.tolist(), strict=True) if not old
        }
        if fresh:
            self._sorted.append(np.sort(np.array(list(fresh), dtype=f"S{WIDTH}")))
            while len(self._sorted) > 1 and len(self._sorted[-2]) < 2 * len(self._sorted[-1]):
                merged = np.concatenate([self._sorted.pop(), self._sorted.pop()])
                merged.sort(kind="stable")
                self._sorted.append(merged)
        return list(fresh.values())
