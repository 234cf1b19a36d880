"""Remove images for good, by their image_id: from the ledger, the faces, the meshes, the manifest and the report.

Copies of the same file go with them. Hashes stay behind (OUTPUT/tombstones), so that `annotate` never takes them in
again, under whatever name; even --replace keeps those. In a bucket with versioning, S3 itself keeps the old objects
until its lifecycle rules remove them. The input is not touched.
"""

from __future__ import annotations

import argparse
import sys

from pipeline.storage.store import Storage
from pipeline.upkeep.forget import forget

EXAMPLES = """\
  facegpt forget faces/ 6ff9a0c0fffe1b4a0c2d3bd1a1a9d1f0
  facegpt forget s3://bucket/faces 6ff9a0c0fffe1b4a0c2d3bd1a1a9d1f0 0b3cb5a4d5f94dbd8a6bd2c6b1be8d57
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")
    parser.add_argument(
        "image_ids", metavar="IMAGE_ID", nargs="+", help="as in the column image_id of images/ and faces/"
    )


def run(args: argparse.Namespace) -> int:
    summary = forget(Storage(args.output), args.image_ids)
    for line in summary.notes:
        print(line)
    if summary.forgotten_before:
        print(f"{summary.forgotten_before:,} images were forgotten already")
    if summary.images:
        print(
            f"forgot {summary.images:,} images: {summary.rows:,} rows and {summary.faces:,} faces in "
            f"{summary.shards:,} shards of {args.output}"
        )
    if summary.report:
        print(f"the report is removed, too; `facegpt report {args.output}` makes it again")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["forget", *sys.argv[1:]]))
