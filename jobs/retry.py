"""Do the failed images of OUTPUT again, with the settings and the model that OUTPUT was made with.

All other rows, faces and meshes stay as they are. What fails again stands in the ledger with its new reason.
"""

from __future__ import annotations

import argparse
import sys

from jobs.annotate import add_commercial_only, conclude
from jobs.arguments import share
from pipeline.upkeep.retry import Choice, retry
from schemas import STAGES

EXAMPLES = """\
  facegpt retry faces/
  facegpt retry s3://bucket/faces --stage fetch --reason timeout
  facegpt retry faces/ --max-failed 0.1 --set workers.detect=1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")
    parser.add_argument(
        "--reason", metavar="TEXT", help="only those with TEXT in their reason (upper or lower case)"
    )
    parser.add_argument("--stage", choices=STAGES, help="only those that failed in this stage")
    parser.add_argument(
        "--max-failed",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit with 1 if more than this share of them failed again (0 to 1; default 1)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="one setting that changes no row, such as workers.detect=2",
    )
    add_commercial_only(parser)


def run(args: argparse.Namespace) -> int:
    summary = retry(args.output, Choice(args.reason, args.stage), [*args.overrides, *args.licences])
    return conclude(summary, args.output, args.max_failed)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["retry", *sys.argv[1:]]))
