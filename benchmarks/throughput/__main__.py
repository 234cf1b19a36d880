"""How fast a run is, and what it is beside what a user would write: one command, one page of tables.

    python -m benchmarks.throughput photos/ --work /big/disk --markdown docs/performance.md
    python -m benchmarks.throughput photos/ --work /tmp/speed --parts stages runs --sizes 50 --repeats 1   # minutes

stages: each step by itself on one thread. runs: whole runs beside a loop, a process pool and the bare model, in turn.
first: from the command to the first rows. memory: process by process. scale: ms per image of dry runs of many images.
Every part leaves its figures in WORK/results.json; the tables are made of all that stands there. What is compared ran
in turn; ratios are medians over the repeats with their range.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.scale.table import insert
from benchmarks.throughput import first, memory, runs, scale
from benchmarks.throughput.command import end_on_sigterm, run_module
from benchmarks.throughput.results import Results
from benchmarks.throughput.table import blocks

MEASURED = ("stages", "runs", "first", "memory", "scale")
STAGES = "benchmarks.throughput.stages"
CORE_HOUR = 0.05
"""US dollars: a plain virtual core by the hour, on demand; an assumption, see docs/performance.md."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="a folder of photos, most of them with a face"
    )
    made.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="for corpora, outputs and results"
    )
    made.add_argument("--parts", nargs="+", choices=MEASURED, default=list(MEASURED))
    made.add_argument("--repeats", type=int, default=5, metavar="N", help="of every part (5)")
    made.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[50, 200, 2000, 10_000],
        metavar="N",
        help="photos of whole runs",
    )
    made.add_argument(
        "--contenders", nargs="+", choices=runs.CONTENDERS, default=list(runs.CONTENDERS), metavar="NAME"
    )
    made.add_argument("--stage-photos", type=int, default=100, metavar="N", help="photos of the stages (100)")
    made.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="another commit, whose stages are measured in turn with ours",
    )
    made.add_argument("--first-photos", type=int, default=200, metavar="N", help="of the first shard (200)")
    made.add_argument("--memory-photos", type=int, default=200, metavar="N", help="of the memory (200)")
    made.add_argument(
        "--scale-sizes", type=int, nargs="+", default=[1000, 10_000], metavar="N", help="images of dry runs"
    )
    made.add_argument("--mediapipe", type=Path, metavar="PYTHON", help="a Python that has mediapipe 0.10.21")
    made.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    made.add_argument("--price", type=float, default=CORE_HOUR, metavar="USD", help="of a core hour")
    made.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write the tables into this document"
    )
    return made


def main() -> int:
    args = parser().parse_args()
    end_on_sigterm()
    args.work.mkdir(parents=True, exist_ok=True)
    file = args.work / "results.json"
    results = Results.load(file)
    place = runs.Place(args.photos, args.work, tuple(args.overrides), args.mediapipe)
    ways: dict[str, Callable[[], None]] = {
        "stages": lambda: _stages(place, results, args),
        "runs": lambda: _runs(place, results, args, file),
        "first": lambda: _first(place, results, args.first_photos, args.repeats),
        "memory": lambda: _memory(place, results, args.memory_photos),
        "scale": lambda: _scale(place, results, args.scale_sizes, args.repeats),
    }
    for part in MEASURED:
        if part in args.parts:
            ways[part]()
            results.machine[part] = _where(args.overrides)
            results.save(file)
    made = blocks(results, args.price)
    for part, text in made.items():
        print(f"## {part}\n\n{text}\n")
        if args.markdown:
            insert(args.markdown, f"performance-{part}", text)
    return 0


def _stages(place: runs.Place, results: Results, args: argparse.Namespace) -> None:
    settings = [word for override in place.overrides for word in ("--set", override)]
    arguments = [str(place.corpus(args.stage_photos).resolve()), *settings]
    if args.before is None:
        results.before = {}
        every = [*arguments, "--repeats", str(args.repeats)]
        results.stages = dict(run_module(STAGES, every, one_thread=True).report)
        return
    tree, once = place.tree_of(args.before), [*arguments, "--repeats", "1"]
    ours, theirs = [], []
    for _ in range(args.repeats):
        ours.append(run_module(STAGES, once, one_thread=True).report)
        theirs.append(run_module(STAGES, [*once, "--parts", "steps"], one_thread=True, tree=tree).report)
    results.stages, results.before = joined(ours), joined(theirs)


def joined(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins what several calls of the stages reported, one round each, to what one call of as many rounds would."""
    first, *others = reports
    whole: dict[str, Any] = {"items": dict(first["items"])}
    for part in first.keys() - {"items"}:
        whole[part] = {
            name: [*figures, *(one for other in others for one in other[part][name])]
            for name, figures in first[part].items()
        }
    return whole


def _runs(place: runs.Place, results: Results, args: argparse.Namespace, file: Path) -> None:
    for size in args.sizes:
        results.runs[size] = runs.measure(place, size, args.contenders, args.repeats)
        results.save(file)


def _first(place: runs.Place, results: Results, photos: int, repeats: int) -> None:
    results.waits = first.measure(place, photos, repeats)


def _memory(place: runs.Place, results: Results, photos: int) -> None:
    results.memory[runs.OURS] = memory.measure(place, photos)
    results.memory[runs.RAY] = memory.measure(place, photos, (runs.WITH_RAY,))


def _scale(place: runs.Place, results: Results, sizes: list[int], repeats: int) -> None:
    results.scale = scale.measure(place, sizes, repeats)


def _where(overrides: list[str]) -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    settings = f"; {', '.join(overrides)}" if overrides else ""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {len(os.sched_getaffinity(0))} CPU cores, "
        f"{memory_gb:.0f} GB, Python {platform.python_version()}{settings}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
