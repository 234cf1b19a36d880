"""`make drills`: every drill with many seeds, and a table of what was killed and what was lost (nothing, or exit 1)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from drills.harness import Job, make_corpus
from drills.kills import DRILLS, Result, perform


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12, help="runs of each drill")
    parser.add_argument("--images", type=int, default=240)
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="drills-") as name:
        folder = Path(name)
        corpus, reference = make_corpus(folder / "photos", args.images), folder / "reference"
        code, printed = Job(corpus, reference).start().finish()
        if code:
            print(printed, file=sys.stderr)
            return 3
        print("| drill | runs | kills | images | faces | lost | duplicated | different |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        total = 0
        for drill in DRILLS:
            place = folder / drill.name.replace(" ", "-")
            place.mkdir()
            results = [perform(drill, seed, corpus, reference, place) for seed in range(args.seeds)]
            print(_line(drill.name, results), flush=True)
            total += sum(result.killed for result in results)
            bad += sum(not result.count.is_right for result in results)
        print(f"\n{total} processes killed; {bad} outputs wrong")
    return 1 if bad else 0


def _line(name: str, results: list[Result]) -> str:
    counts = [result.count for result in results]
    cells = [
        sum(result.runs for result in results),
        sum(result.killed for result in results),
        *(
            sum(getattr(count, what) for count in counts)
            for what in ("images", "faces", "lost", "duplicated", "different")
        ),
    ]
    return f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
