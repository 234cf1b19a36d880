"""A short measurement of ratios, held against the floors of benchmarks/floors.yaml; some minutes.

    python -m benchmarks.throughput.check demo/photos --work /tmp/check

Exit code 1 if the median of a ratio is below its floor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.throughput import first, memory, runs
from benchmarks.throughput.command import end_on_sigterm, run_module
from benchmarks.throughput.measures import PEAK_GIB, against, compared, first_row, room
from benchmarks.throughput.results import Results
from benchmarks.throughput.runs import LOOP, OURS, POOL
from benchmarks.throughput.spread import Spread
from benchmarks.throughput.table import table

FLOORS = Path(__file__).resolve().parents[1] / "floors.yaml"
PHOTOS, STAGE_PHOTOS, REPEATS = 100, 32, 3
RATIOS: dict[str, Callable[[Results], Spread | None]] = {
    "run over loop": lambda found: _run(found, LOOP, start=False),
    "run over process pool": lambda found: _run(found, POOL, start=False),
    "run over loop, starts included": lambda found: _run(found, LOOP, start=True),
    "stage over bare model": lambda found: compared(found, "stage", "bare", "stage"),
    "imports over first row": first_row,
    "batch of 32 over single crops": lambda found: compared(found, "batch", "1", "32"),
    "detector over dlib": lambda found: compared(found, "detector", "dlib", "default"),
    "room in memory": lambda found: room(found, PEAK_GIB),
}
"""What is held to a floor, by its name in the file."""


class FloorsError(ValueError):
    """The file of floors is not as it must be; the message says where."""


@dataclass(frozen=True)
class Verdict:
    """A ratio, None where the start of a run hid its work, and its floor."""

    name: str
    ratio: Spread | None
    least: float

    @property
    def passes(self) -> bool:
        """Whether the median is at least the floor; what could not be measured does not pass."""
        return self.ratio is not None and self.ratio.median >= self.least


def read_floors(file: Path) -> dict[str, float]:
    """Reads the least value of each ratio.

    Raises:
        FloorsError: a ratio has no floor, or a floor no ratio, or one is no positive number with a reason.
    """
    raw = yaml.safe_load(file.read_text("utf-8"))
    if not isinstance(raw, dict) or raw.keys() != RATIOS.keys():
        names = raw.keys() if isinstance(raw, dict) else set()
        raise FloorsError(f"{file}: missing or unknown: {sorted(map(str, names ^ RATIOS.keys()))}")
    for name, floor in raw.items():
        if not isinstance(floor, dict) or floor.keys() != {"least", "why"}:
            raise FloorsError(f"{file}: {name} wants `least` and `why`")
        least = floor["least"]
        if isinstance(least, bool) or not isinstance(least, int | float) or least <= 0 or not floor["why"]:
            raise FloorsError(f"{file}: {name} wants a positive number and a reason")
    return {name: float(floor["least"]) for name, floor in raw.items()}


def judge(found: Results, floors: dict[str, float]) -> list[Verdict]:
    """Holds what was measured against the floors."""
    return [Verdict(name, RATIOS[name](found), least) for name, least in floors.items()]


def report(verdicts: list[Verdict]) -> str:
    """Writes the verdicts as a table."""
    rows = [
        [
            one.name,
            "lost in the noise of the start: a quieter machine, or more photos"
            if one.ratio is None
            else one.ratio.form(),
            f"{one.least:.2f}",
            "pass" if one.passes else "FAIL",
        ]
        for one in verdicts
    ]
    return table(["ratio (more is better)", "measured", "floor", ""], rows, "lrrl")


def measure(place: runs.Place, photos: int, repeats: int) -> Results:
    """Measures what the ratios need; raises CommandError if a run fails."""
    found = Results()
    parts = ["--parts", "stage", "batch", "detector", "--repeats", str(repeats)]
    stages = run_module(
        "benchmarks.throughput.stages", [str(place.corpus(STAGE_PHOTOS)), *parts], one_thread=True
    )
    found.stages = dict(stages.report)
    found.runs[photos] = runs.measure(place, photos, (OURS, LOOP, POOL), repeats)
    found.waits = first.measure(place, None, repeats)
    found.memory[OURS] = memory.measure(place, photos)
    return found


def _run(found: Results, other: str, *, start: bool) -> Spread | None:
    (measured,) = found.runs.values()
    return against(measured, other, start=start)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=PHOTOS, metavar="N", help=f"photos of a run ({PHOTOS})")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help=f"({REPEATS})")
    args = parser.parse_args()
    end_on_sigterm()
    floors = read_floors(FLOORS)
    args.work.mkdir(parents=True, exist_ok=True)
    verdicts = judge(measure(runs.Place(args.photos, args.work), args.count, args.repeats), floors)
    print(report(verdicts))
    if failed := [one.name for one in verdicts if not one.passes]:
        print(f"below their floors: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
