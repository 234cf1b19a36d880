"""How long a user waits: from the command to the first rows, for one photo and for many, beside the imports alone.

    python -m benchmarks.throughput.first --report FILE

The command is the yardstick: it imports torch and transformers, loads the model's weights, and says when that was done.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.throughput.command import annotate_command, run, run_module, write_report
from benchmarks.throughput.corpus import photos_in
from benchmarks.throughput.runs import WITH_RAY, Place

IMPORTS = "import torch and transformers, load the model"
ONE_ROW, ONE_WHOLE = "one photo, to its row", "one photo, to the end of the command"
MANY, MANY_RAY = "{} photos, to the first committed shard", "{} photos with Ray, to the first committed shard"
LOOK_EVERY = 0.01


@dataclass
class Waits:
    """Wall seconds by what was waited for, one figure for each repeat."""

    seconds: dict[str, list[float]]


def measure(place: Place, photos: int | None, repeats: int) -> Waits:
    """Measures the waits in turn; `photos` is the size of the larger input, None leaves that out.

    Raises:
        CommandError: a command failed.
    """
    one, waits = photos_in(place.corpus(1))[0], Waits({})
    ways: list[Callable[[], dict[str, float]]] = [
        lambda: {IMPORTS: float(run_module("benchmarks.throughput.first", []).report["ready"])},
        lambda: dict(zip((ONE_ROW, ONE_WHOLE), first_commit(place, one, ()), strict=True)),
    ]
    if photos is not None:
        many = place.corpus(photos)
        ways += [
            lambda: {MANY.format(photos): first_commit(place, many, ())[0]},
            lambda: {MANY_RAY.format(photos): first_commit(place, many, (WITH_RAY,))[0]},
        ]
    for turn in range(repeats):
        for index in range(len(ways)):
            for name, seconds in ways[(index + turn) % len(ways)]().items():
                waits.seconds.setdefault(name, []).append(seconds)
    return waits


def first_commit(place: Place, photos: Path, overrides: tuple[str, ...]) -> tuple[float, float]:
    """Runs `facegpt annotate`; gives the seconds until a commit lies in its output, and until it ended."""
    output = place.work / "output"
    shutil.rmtree(output, ignore_errors=True)
    seen: list[float] = []

    def look(_: int, seconds: float) -> None:
        if not seen and any((output / "commits").glob("*.json")):
            seen.append(seconds)

    seconds = run(
        annotate_command(photos, output, [*place.overrides, *overrides]), watch=look, every=LOOK_EVERY
    )
    shutil.rmtree(output)
    return (seen[0] if seen else seconds), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    import torch
    import transformers

    from facegpt.model.checkpoint import load

    load("bundled", "cpu")
    write_report(
        args.report, ready=time.monotonic(), torch=torch.__version__, transformers=transformers.__version__
    )


if __name__ == "__main__":
    main()
