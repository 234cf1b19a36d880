"""`make drills`: every drill with many seeds, and a table of what was killed and what was lost (nothing, or exit 1)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from drills.kills import DRILLS
from drills.perform import TWO, Result, drilled
from drills.scenes import Scene, bundled_scene, null_scene

COUNTED = ("images", "faces", "lost", "duplicated", "different", "problems")
COLUMNS = ("drill", "seeds", "runs", "strikes", "kills", *COUNTED)


@dataclass
class Tally:
    """What all drills did: their results, and how many did not come to one."""

    results: list[Result] = field(default_factory=list)
    unfinished: int = 0

    @property
    def wrong(self) -> int:
        return sum(not result.count.is_right for result in self.results)

    @property
    def line(self) -> str:
        strikes = sum(len(result.strikes) for result in self.results)
        killed = sum(sum(result.strikes) for result in self.results)
        return (
            f"{strikes} strikes while there was work, {killed} processes killed; of {len(self.results)} outputs "
            f"{self.wrong} wrong; {self.unfinished} drills without an end"
        )

    def play(
        self, scene: Scene, seeds: range, strikes: int, folder: Path, only: Sequence[str], pool: Executor
    ) -> None:
        """Every drill on this scene with these seeds, side by side in `pool`, and a line for each."""
        print(f"\n`annotate {' '.join(scene.options)}`\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        begun = {
            name: [pool.submit(drilled, name, seed, scene, folder, strikes) for seed in seeds]
            for name in (*(drill.name for drill in DRILLS), TWO)
            if any(word in name for word in only)
        }
        for name, waiting in begun.items():
            ended = [self._one(name, seed, future) for seed, future in zip(seeds, waiting, strict=True)]
            print(_line(name, len(seeds), list(filter(None, ended))), flush=True)
        print(flush=True)

    def _one(self, name: str, seed: int, future: Future[Result]) -> Result | None:
        try:
            result = future.result()
        except (RuntimeError, TimeoutError) as error:
            # The others are worth knowing all the same; the exit code says that one is missing.
            self.unfinished += 1
            print(f"{name}, seed {seed}: {error}", file=sys.stderr)
            return None
        self.results.append(result)
        if not result.count.is_right:
            print(f"{name}, seed {seed}: {result.count}\n{result.printed}", file=sys.stderr)
        return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of each drill with the null model")
    parser.add_argument("--strikes", type=int, default=2, help="for each seed with the null model")
    parser.add_argument("--images", type=int, default=2000, help="of the corpus for the null model")
    parser.add_argument("--bundled-seeds", type=int, default=3, help="of each drill with the bundled model")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed to begin with")
    parser.add_argument(
        "--only",
        metavar="WORD",
        nargs="+",
        default=[""],
        help="only the drills with one of these words in their name",
    )
    parser.add_argument("--jobs", type=int, default=2, help="drills side by side: most of one is waiting")
    args = parser.parse_args()
    started, tally = time.monotonic(), Tally()

    def seeds(count: int) -> range:
        return range(args.first, args.first + count)

    # Fresh processes: Ray keeps what it knows of a cluster in the process that started it.
    context = get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="drills-") as name,
        ProcessPoolExecutor(args.jobs, context, max_tasks_per_child=1) as pool,
    ):
        null, bundled = Path(name, "null"), Path(name, "bundled")
        if args.seeds:
            scene = null_scene(null, args.images, max(12, args.images // 50))
            tally.play(scene, seeds(args.seeds), args.strikes, null, args.only, pool)
        if args.bundled_seeds:
            tally.play(bundled_scene(bundled), seeds(args.bundled_seeds), 1, bundled, args.only, pool)
    print(f"{tally.line}; {(time.monotonic() - started) / 60:.0f} minutes")
    return 1 if tally.wrong or tally.unfinished else 0


def _line(name: str, seeds: int, results: list[Result]) -> str:
    cells = [
        seeds,
        sum(result.runs for result in results),
        sum(len(result.strikes) for result in results),
        sum(sum(result.strikes) for result in results),
        *(sum(getattr(result.count, what) for result in results) for what in COUNTED),
    ]
    return f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
