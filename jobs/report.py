"""Write OUTPUT/report/index.html, one self-contained page: counts, failures with reasons, distributions, faces.

The faces are drawn from their rows and from the photos, which are read again; the page itself needs neither.
"""

from __future__ import annotations

import argparse
import sys

from jobs.arguments import count
from pipeline.report import write_report
from pipeline.report.read import SHOWN

EXAMPLES = """\
  facegpt report faces/
  facegpt report s3://bucket/faces --faces 200
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")
    parser.add_argument(
        "--faces",
        type=count,
        default=SHOWN,
        metavar="N",
        help=f"show at most N faces (default {SHOWN})",
    )


def run(args: argparse.Namespace) -> int:
    print(f"report: {write_report(args.output, args.faces)}")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["report", *sys.argv[1:]]))
