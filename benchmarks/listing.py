"""Seconds and memory of listing a large folder into a manifest: the driver's part of a run, without any work on images.

    python -m benchmarks.listing [--images 10000 100000 1000000] [--folder /fast/disk] [--per-folder 1000]

Makes hard links to one small file in a temporary folder, lists them in a process of its own into a new manifest, once
more with everything known, and removes them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LISTER = "--list"


def make(folder: Path, images: int, per_folder: int) -> None:
    """So many hard links; a file has at most 60,000 of them, so that there are several originals."""
    original = Path()
    for number in range(images):
        if number % per_folder == 0:
            (folder / f"{number // per_folder:06d}").mkdir()
        path = folder / f"{number // per_folder:06d}" / f"{number:08d}.jpg"
        if number % 60_000 == 0:
            original = path
            original.write_bytes(b"no image, but a file")
        else:
            os.link(original, path)


def list_once(folder: str, output: str) -> dict[str, float]:
    """What a run does before and beside the work: list, know, cut, write, hand out."""
    from pipeline.config import ShardConfig
    from pipeline.shards.feed import Feed
    from pipeline.storage.store import Storage

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    first, images, shards = 0.0, 0, 0
    with Feed(Storage(output), folder, ShardConfig()) as feed:
        if feed.wait():
            feed.settle()
            feed.start(4)
        for ref in feed if feed.new_images else ():
            first = first or time.perf_counter() - began
            images += ref.n_images
            shards += 1
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": images,
        "shards": shards,
        "parts": len(list(Path(output, "manifest").iterdir())),
        "first_s": round(first, 2),
        "seconds": round(seconds, 2),
        "start_mb": round(before / 1024),
        "peak_mb": round(peak / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--per-folder", type=int, default=1000)
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument(LISTER, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        print(json.dumps(list_once(*args.list)))
        return
    for images in args.images:
        place = Path(tempfile.mkdtemp(dir=args.folder))
        try:
            (place / "photos").mkdir()
            make(place / "photos", images, args.per_folder)
            for pass_name in ("new", "known"):
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.listing",
                    LISTER,
                    str(place / "photos"),
                    str(place / "out"),
                ]
                said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                print(f"{images:>9,} {pass_name:5} {said.strip()}", flush=True)
        finally:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
