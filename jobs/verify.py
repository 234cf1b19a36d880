"""Check that OUTPUT is whole, by reading all of it.

Each image exactly once in the ledger, each file unchanged since its commit, each face with its image, each mesh with
its face, and nothing besides.
"""

from __future__ import annotations

import argparse
import sys

from pipeline.run_record import existing_run
from pipeline.storage import Storage
from pipeline.verify import verify

EXAMPLES = """\
  facegpt verify faces/
"""
SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")


def run(args: argparse.Namespace) -> int:
    storage = Storage(args.output)
    verdict = verify(storage, str(existing_run(storage)["fingerprint"]))
    for problem in verdict.problems[:SHOWN]:
        print(problem)
    if len(verdict.problems) > SHOWN:
        print(f"and {len(verdict.problems) - SHOWN} more")
    print(verdict.line)
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["verify", *sys.argv[1:]]))
