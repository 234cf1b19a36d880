"""Check that OUTPUT is whole, by reading all of it.

Each image exactly once in the ledger, each file unchanged since its commit, each face with its image, each mesh with
its face, nothing that was forgotten, and nothing besides. With --repair, put in order first what dying processes left
behind: changes half made, temporary files, files that belong to no commit, unfinished uploads. A shard with a file
missing or changed loses its commit, so that the next annotate does it again. What a sound commit names is not touched.
"""

from __future__ import annotations

import argparse
import sys

from pipeline.output.run_json import existing_run
from pipeline.storage.store import Storage
from pipeline.upkeep.repair import repair
from pipeline.upkeep.verify import verify

EXAMPLES = """\
  facegpt verify faces/
  facegpt verify s3://bucket/faces --repair
"""
SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")
    parser.add_argument(
        "--repair", action="store_true", help="put in order what can be, then check; says what it did"
    )


def run(args: argparse.Namespace) -> int:
    storage = Storage(args.output)
    existing_run(storage)
    if args.repair:
        for line in repair(storage) or ["nothing to repair"]:
            print(line)
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
