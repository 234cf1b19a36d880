"""Images spread evenly over a listing, whose length nobody knows before its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.shards.feed import LISTED_BEFORE_START
from pipeline.sources import Listing
from pipeline.storage.locations import Entry


class EvenSample:
    """Every k-th image of a listing, where k doubles as the listing grows: `wanted` to twice as many, in its order."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen = 0
        self._stride = 1
        self._kept: list[Entry] = []

    def add(self, images: list[Entry]) -> None:
        """Takes the next images of the listing."""
        self._kept += images[-self.seen % self._stride :: self._stride]
        self.seen += len(images)
        while len(self._kept) >= 2 * self.wanted:
            self._kept = self._kept[::2]
            self._stride *= 2

    def images(self) -> tuple[Entry, ...]:
        """Returns `wanted` of those that were kept, as evenly as that goes; all, if they are fewer."""
        count = min(self.wanted, len(self._kept))
        return tuple(self._kept[index * len(self._kept) // count] for index in range(count))


@dataclass(frozen=True)
class Listed:
    """What a listing gave: the number of images, in so many seconds, and a sample. `whole`: it went to its end."""

    images: int
    seconds: float
    whole: bool
    sample: tuple[Entry, ...]

    def seconds_for(self, images: int) -> float:
        """Computes how long a listing of so many images takes."""
        return self.seconds * images / self.images


def list_sample(location: str, output: str | None, wanted: int, *, all_of_it: bool) -> Listed:
    """Lists an input, and keeps a sample of it.

    Args:
        location: as `annotate` takes it.
        output: what lies below it is left out.
        wanted: images in the sample, at most.
        all_of_it: list to the end; otherwise so many images as a run lists before it begins to work.

    Raises:
        UsageError: the input cannot be read, or holds no image.
    """
    started = time.perf_counter()
    sample = EvenSample(wanted)
    whole = True
    for chunk in Listing(location, output=output):
        sample.add(chunk)
        if not all_of_it and sample.seen >= LISTED_BEFORE_START:
            whole = False
            break
    return Listed(sample.seen, time.perf_counter() - started, whole, sample.images())
