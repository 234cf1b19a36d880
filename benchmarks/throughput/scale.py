"""Milliseconds per image of everything but faces, from a thousand images on: dry runs, their starts taken off.

`python -m benchmarks.scale` measures the same runs with a kill in between, and has the memory along the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scale.corpus import make_folder
from benchmarks.scale.processes import Family
from benchmarks.throughput.command import annotate_command, run_reporting
from benchmarks.throughput.runs import OURS_MODULE, Place

DRY = ("model.path=null", "detector.name=null", "output.meshes=false")
SHARES = (0.1, 0.5, 1.0)
LOADED_MB = 100
"""A driver that has less has only just been started: a sample says nothing yet."""


@dataclass
class Scale:
    """Dry runs by size: ms per image without the start, seconds of the start, and MB of the driver at each of `SHARES`
    of the run's time, one figure for each repeat.
    """

    per_image: dict[int, list[float]] = field(default_factory=dict)
    start: dict[int, list[float]] = field(default_factory=dict)
    driver_mb: dict[int, list[tuple[float, ...]]] = field(default_factory=dict)


def measure(place: Place, sizes: Sequence[int], repeats: int, overrides: Sequence[str] = ()) -> Scale:
    """Measures dry runs over so many images, all sizes in each repeat.

    Raises:
        CommandError: a run failed.
    """
    found = Scale()
    for _ in range(repeats):
        for size in sizes:
            corpus = place.work / f"small-{size}"
            make_folder(corpus, size)
            seconds, start, memory = _dry(place, corpus, overrides)
            found.per_image.setdefault(size, []).append(1000 * (seconds - start) / size)
            found.start.setdefault(size, []).append(start)
            found.driver_mb.setdefault(size, []).append(along(memory))
    return found


def _dry(place: Place, photos: Path, overrides: Sequence[str]) -> tuple[float, float, list[float]]:
    output, memory = place.work / "output", list[float]()
    shutil.rmtree(output, ignore_errors=True)
    command = annotate_command(photos, output, [*overrides, *DRY], OURS_MODULE)
    done = run_reporting(command, watch=lambda pid, _: memory.append(Family(pid).driver_mb()))
    shutil.rmtree(output)
    return done.seconds, float(done.report["ready"]), memory


def along(memory: Sequence[float]) -> tuple[float, ...]:
    """Picks the samples of a driver's memory at `SHARES` of the time since it was loaded; zeros if it never was."""
    loaded = [value for value in memory if value > LOADED_MB]
    if not loaded:
        return (0.0,) * len(SHARES)
    return tuple(loaded[max(0, round(share * len(loaded)) - 1)] for share in SHARES)
