"""The ratios by which speed is judged, each from the figures of one part; larger is better in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.throughput.first import IMPORTS, ONE_ROW
from benchmarks.throughput.results import Results
from benchmarks.throughput.runs import LOOP, OURS, POOL, Table
from benchmarks.throughput.spread import Spread, ratios, spread

STEPS = {
    "list": ("list", "photos"),
    "fetch": ("fetch", "photos"),
    "decode": ("decode", "photos"),
    "detect": ("detect", "photos"),
    "crop": ("crop", "faces"),
    "hand over": ("hand over to the next process", "photos"),
    "prefill": ("model: prefill, theta", "faces"),
    "words": ("model: words", "faces"),
    "scores": ("model: drawing, scores", "faces"),
    "heads": ("mesh: heads", "faces"),
    "GLB": ("mesh: GLB files", "faces"),
    "tables": ("tables", "faces"),
    "commit": ("commit", "faces"),
}
"""What stands in the table of steps: its name there, and the items that are counted."""


LEAST_WORK = 0.1
"""Of a run's time; where the work takes less, the run is too small to say how fast the work is."""


def steps_of(stages: Mapping[str, Any]) -> dict[str, list[float]]:
    """Computes the seconds of each step, round by round; words and scores are what their call takes more."""
    steps = {name: list(each) for name, each in stages["steps"].items()}
    both, model = steps.pop("prefill and words"), steps.pop("model")
    steps["words"] = [max(0.0, more - less) for more, less in zip(both, steps["prefill"], strict=True)]
    steps["scores"] = [max(0.0, more - less) for more, less in zip(model, both, strict=True)]
    return {name: steps[name] for name in STEPS}


def against(table: Table | None, other: str, *, start: bool, ours: str = OURS) -> Spread | None:
    """Computes how many times as many photos a second a run does as another contender, starts included or not; None
    where one of them was not measured, or starts for so long that its work is lost in the noise of the start.
    """
    if table is None or other not in table.runs or ours not in table.runs:
        return None
    mine, theirs = table.runs[ours], table.runs[other]
    if start:
        return ratios([one.seconds for one in theirs], [one.seconds for one in mine])
    if any(one.work < LEAST_WORK * one.seconds for one in (*mine, *theirs)):
        return None
    return ratios([one.work for one in theirs], [one.work for one in mine])


def first_row(results: Results) -> Spread | None:
    """Computes what the imports and the model's loading take of the time to a photo's row; None: not measured."""
    if results.waits is None:
        return None
    return ratios(results.waits.seconds[IMPORTS], results.waits.seconds[ONE_ROW])


def compared(results: Results, part: str, over: str, under: str) -> Spread | None:
    """Computes the ratio of seconds of two ways to one end; None: not measured."""
    figures = results.stages.get(part)
    return None if figures is None else ratios(figures[over], figures[under])


def evenness(results: Results, small: int, large: int) -> Spread | None:
    """Computes ms per image of a small corpus over those of a large one; None: not measured."""
    sizes = {} if results.scale is None else results.scale.per_image
    return ratios(sizes[small], sizes[large]) if {small, large} <= sizes.keys() else None


def room(results: Results, gigabytes: float) -> Spread | None:
    """Computes what may be used at most over the peak of a default run; None: not measured."""
    memory = results.memory.get(OURS)
    return None if memory is None else spread([1024 * gigabytes / memory.peak])


@dataclass(frozen=True)
class Goal:
    """A line that a measurement decides: what it says, the ratio, and what it must be at least; None: not measured."""

    words: str
    ratio: Spread | None
    least: float

    @property
    def is_met(self) -> bool | None:
        """Whether the median is high enough."""
        return None if self.ratio is None else self.ratio.median >= self.least


EVEN, LARGEST = 10_000, 1_000_000
PEAK_GIB = 3.5


def goals(results: Results) -> list[Goal]:
    """Lists what speed is held to, with what was measured of it."""
    found = []
    for count, table in sorted(results.runs.items()):
        name = f"{count:,} photos"
        loop, pool = against(table, LOOP, start=False), against(table, POOL, start=False)
        found += [
            Goal(f"{name}: run over {LOOP}, without the starts", loop, 1.8),
            Goal(f"{name}: run over {POOL}, without the starts", pool, 0.92),
            Goal(f"{name}: run over {LOOP}, starts included", against(table, LOOP, start=True), 1.0),
        ]
    return [
        *found,
        Goal("annotate stage over the bare model", compared(results, "stage", "bare", "stage"), 0.95),
        Goal("imports and loading over one photo's row", first_row(results), 1 / 1.5),
        Goal(f"ms per image, {EVEN:,} over {LARGEST:,} images", evenness(results, EVEN, LARGEST), 1 / 1.1),
        Goal(f"{PEAK_GIB} GiB over the peak of a run", room(results, PEAK_GIB), 1.0),
    ]
