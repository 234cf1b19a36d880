"""How near `facegpt plan` comes to the run: plans and runs in turn, with and without meshes, as a table.

    python -m benchmarks.plan_accuracy PHOTOS [PHOTOS ...] --work DIR [--images 2000] [--rounds 3] [-- --set ...]

The photos of the folders are hard links under new names, repeated up to the number of images. Each plan writes to the
run's output, and the run goes there afterwards. `load` is the machine's load when a command began: with other work on
the machine, plan and run are disturbed by different things, and the ratio says little. `CPU`, planned by real CPU
seconds of an image, says then whether the sample stands for the whole.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.output.plan_json import read_plan
from pipeline.output.run_json import existing_run
from pipeline.sources.names import is_image
from pipeline.storage.store import Storage
from pipeline.upkeep.against_plan import compare
from pipeline.upkeep.status import read_status

NEAR = 0.15
"""The difference that is allowed."""


@dataclass(frozen=True)
class Pair:
    """A plan and its run: seconds, the machine's load before each, and planned by real CPU seconds of an image."""

    meshes: bool
    planned: float
    real: float
    plan_seconds: float
    loads: tuple[float, float]
    cpu_ratio: float
    verdict: str

    @property
    def is_near(self) -> bool:
        """Whether the plan is near enough."""
        return abs(self.planned / self.real - 1) <= NEAR


def make_input(folders: list[Path], folder: Path, images: int) -> None:
    """Links photos into `folder` under new names, each of them as often as it takes; keeps what is there already."""
    photos = [path for source in folders for path in sorted(source.iterdir()) if is_image(path.name)]
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(images):
        photo = photos[index % len(photos)]
        link = folder / f"{index:06d}{photo.suffix}"
        if link.exists():
            continue
        try:
            os.link(photo, link)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(photo, link)


def measure(photos: Path, output: Path, meshes: bool, more: list[str]) -> Pair:
    """Plans a run, then does it, into an output that is made anew."""
    shutil.rmtree(output, ignore_errors=True)
    settings = ["--set", f"output.meshes={str(meshes).lower()}", *more]
    load_before, began = os.getloadavg()[0], time.perf_counter()
    _command("plan", str(photos), "--output", str(output), "--json", *settings)
    load_between, between = os.getloadavg()[0], time.perf_counter()
    _command("annotate", str(photos), str(output), *settings)
    ended = time.perf_counter()
    storage = Storage(str(output))
    plan, record = read_plan(storage), existing_run(storage)
    assert plan is not None
    (call,) = record["invocations"]
    cpu_seconds = sum(call["costs"]["cpu_seconds"].values()) / call["images"]
    return Pair(
        meshes=meshes,
        planned=float(plan["seconds"]),
        real=ended - between,
        plan_seconds=between - began,
        loads=(load_before, load_between),
        cpu_ratio=sum(plan["cpu_seconds_per_image"].values()) / cpu_seconds,
        verdict=compare(plan, record, read_status(storage)),
    )


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jobs", *arguments], check=True, stdout=subprocess.DEVNULL)


def row(pair: Pair) -> str:
    """Formats a pair as a line of the table."""
    return (
        f"| {'with' if pair.meshes else 'without'} | {pair.planned:.1f} s | {pair.real:.1f} s "
        f"| {pair.planned / pair.real:.3f} | {'yes' if pair.is_near else 'NO'} | {pair.cpu_ratio:.3f} "
        f"| {pair.plan_seconds:.0f} s | {pair.loads[0]:.1f}, {pair.loads[1]:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="PHOTOS")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="for the input and the outputs"
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    own, more = sys.argv[1:], list[str]()
    if "--" in own:
        place = own.index("--")
        own, more = own[:place], own[place + 1 :]
    args = parser.parse_args(own)
    photos = args.work / f"photos-{args.images}"
    make_input(args.folders, photos, args.images)
    print(
        "| meshes | planned | real | planned / real | within 15 % | CPU | the plan took | load |", flush=True
    )
    print("|---|---:|---:|---:|---|---:|---:|---|", flush=True)
    pairs = []
    for _ in range(args.rounds):
        for meshes in (True, False):
            pairs.append(measure(photos, args.work / "out", meshes, more))
            print(row(pairs[-1]), flush=True)
    print("\n".join(pair.verdict for pair in pairs))
    (args.work / "pairs.json").write_text(json.dumps([vars(pair) for pair in pairs], indent=1))
    sys.exit(0 if all(pair.is_near for pair in pairs) else 1)


if __name__ == "__main__":
    main()
