"""Many images in the dry mode: time, memory, objects, and the resume after a kill.

    python -m benchmarks.scale --images 10000 100000 1000000 --work DIR [--markdown docs/scale.md]
    python -m benchmarks.scale --images 100000 --work DIR --s3 s3://BUCKET/PREFIX
    python -m benchmarks.scale --images 1000000 --work DIR --s3 s3://BUCKET/PREFIX --tars

The corpus consists of hard links to a few small JPEGs (on S3: of objects), below DIR; it is kept and used again. The
model and the detector are the null ones, so no face is looked at; everything else runs as it always does. Once a
second the driver's resident memory and the memory of all processes of the run are read from /proc.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.scale.corpus import make_folder, make_prefix, make_tars
from benchmarks.scale.measure import Measured, measure, write_curve
from benchmarks.scale.table import insert, markdown
from pipeline.storage.store import Storage


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, nargs="+", default=[2000], metavar="N")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="for corpus, outputs, curves and logs"
    )
    parser.add_argument("--s3", metavar="URL", help="put corpus and output below this s3:// URL instead")
    parser.add_argument("--tars", action="store_true", help="on S3: images in tars of a thousand")
    parser.add_argument(
        "--kill-at",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="kill the driver once there (0: never; 0.5)",
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write the tables into this document"
    )
    args = parser.parse_args()
    if args.tars and not args.s3:
        parser.error("--tars is for --s3")
    more = [word for override in args.overrides for word in ("--set", override)]
    args.work.mkdir(parents=True, exist_ok=True)
    runs = [
        _run(args.work, args.s3, images, tars=args.tars, kill_at=args.kill_at, more=more)
        for images in args.images
    ]
    text = markdown(runs, _where(args.overrides))
    print(text)
    if args.markdown:
        insert(args.markdown, f"scale-{('tars' if args.tars else 's3') if args.s3 else 'folder'}", text)
    return 0 if all(run.lost == run.duplicated == 0 for run in runs) else 1


def _run(
    work: Path, url: str | None, images: int, *, tars: bool, kill_at: float, more: list[str]
) -> Measured:
    """Makes the corpus of `images` images if it is not there, and measures a run over it."""
    name = f"{('tars' if tars else 's3') if url else 'folder'}-{images}"
    if url:
        location, output = f"{url.rstrip('/')}/photos-{name}", f"{url.rstrip('/')}/out-{name}"
        (make_tars if tars else make_prefix)(location, images)
        Storage(output).delete(Storage(output).keys())
    else:
        location, output = str(work / f"photos-{images}"), str(work / f"out-{images}")
        make_folder(Path(location), images)
        shutil.rmtree(output, ignore_errors=True)
    print(f"{images:,} images in {location}", flush=True)
    log = work / f"log-{name}.txt"
    log.unlink(missing_ok=True)
    run = measure(location, output, images, kill_at=kill_at, more=more, log=log)
    write_curve(work / f"curve-{name}.csv", run.samples)
    return run


def _where(overrides: list[str]) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    settings = f"; {', '.join(overrides)}" if overrides else ""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, {memory:.0f} GB, "
        f"Python {platform.python_version()}; null model and null detector, no meshes{settings}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
