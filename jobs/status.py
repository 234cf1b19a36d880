"""How far OUTPUT is: images, shards, faces, images by status. Reads no table, so it is quick, also during a run."""

from __future__ import annotations

import argparse
import json
import sys

from pipeline.annotate.weights.used import restricted
from pipeline.output.plan_json import read_plan
from pipeline.output.run_json import existing_run
from pipeline.storage.store import Storage
from pipeline.upkeep.against_plan import compare
from pipeline.upkeep.status import read_status

EXAMPLES = """\
  facegpt status faces/
  facegpt status s3://bucket/faces --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// prefix of a run")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    storage = Storage(args.output)
    record = existing_run(storage)
    status = read_status(storage)
    plan = read_plan(storage)
    compared = compare(plan, record, status) if plan else None
    if args.json:
        print(
            json.dumps(
                {
                    **vars(status),  # asdict would make a Counter of a Counter's items
                    "notice": record.get("notice"),
                    "weights": record.get("weights"),
                    "fingerprint": record["fingerprint"],
                    "complete": status.is_complete,
                    "plan": plan,
                    "against_plan": compared,
                }
            )
        )
        return 0
    if "notice" in record:
        print(f"notice    {record['notice']}")
    for line in restricted(record):
        print(f"licence   {line}")
    print(f"images    {status.images_done:,} of {status.images:,}")
    print(f"shards    {status.shards_done:,} of {status.shards:,} committed")
    print(f"faces     {status.faces:,}")
    print(f"meshes    {status.meshes:,}")
    for name, count in sorted(status.statuses.items()):
        print(f"{name:9} {count:,}")
    if status.forgotten:
        print(f"forgotten {status.forgotten:,}")
    print(f"last      {status.last_commit or 'nothing committed yet'}")
    if compared:
        print(f"plan      {compared}")
    print("complete" if status.is_complete else "not complete: run annotate again to go on")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["status", *sys.argv[1:]]))
