"""What is counted and timed of a detector."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks.detectors.photos import Photo, held
from facegpt.photo.detectors import Detector


def recall(detector: Detector, photos: list[Photo]) -> dict[str, tuple[int, int]]:
    """By set: faces found, faces labelled."""
    counts: dict[str, tuple[int, int]] = {}
    for photo in photos:
        faces = held(detector.detect(photo.pixels), photo.boxes)
        found, there = counts.get(photo.group, (0, 0))
        counts[photo.group] = (found + sum(face is not None for face in faces), there + len(faces))
    return counts


def found_in(detector: Detector, photos: list[Photo]) -> str:
    """In how many photos something is found."""
    return f"{sum(bool(detector.detect(photo.pixels)) for photo in photos)} of {len(photos)}"


def false_faces(detector: Detector, photos: list[Photo]) -> str:
    """Boxes in photos without a face, and how many of the photos have such boxes."""
    boxes = [len(detector.detect(photo.pixels)) for photo in photos]
    return f"{sum(boxes)} in {sum(map(bool, boxes))} of {len(boxes)}"


def turned_faces(detector: Detector, photos: list[Photo], turns: int) -> str:
    """Faces found in photos turned to the left, of those labelled, and those of them whose crop stands upright."""
    found = upright = there = 0
    for photo in (photo.turned(turns) for photo in photos):
        for face in held(detector.detect(photo.pixels), photo.boxes):
            there += 1
            found += face is not None
            upright += face is not None and (face.quarter_turns + turns) % 4 == 0
    return f"{found} of {there} ({upright})"


def timed(calls: Sequence[Callable[[Photo], object]], photos: list[Photo], rounds: int) -> list[str]:
    """Two cells per call: the median over the rounds in ms per photo, and its ratio to the first with the range."""
    figures = milliseconds(calls, photos, rounds)
    cells = []
    for own in figures:
        ratios = [mine / first for mine, first in zip(own, figures[0], strict=True)]
        cells.append(
            f"{statistics.median(own):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    return cells


def milliseconds(
    calls: Sequence[Callable[[Photo], object]], photos: list[Photo], rounds: int
) -> list[list[float]]:
    """Mean milliseconds of CPU time per photo of each call, one figure per round, interleaved photo by photo."""
    figures: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds):
        sums = [0.0] * len(calls)
        for photo in photos:
            for place in range(len(calls)):
                index = (place + turn) % len(calls)
                start = time.process_time()
                calls[index](photo)
                sums[index] += (time.process_time() - start) * 1e3
        for index, total in enumerate(sums):
            figures[index].append(total / len(photos))
    return figures
