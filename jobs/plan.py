"""Say what `annotate` of INPUT will take, before it is begun: hours, workers, memory, bytes, money.

Some 200 images, evenly spread over INPUT, are annotated for a trial, with the engine, the workers and the micro-batches
that the run would have; that takes about half a minute, and what it writes is deleted again. It writes to a temporary
folder of this machine, or with --output to where the run will write, so that the store is timed as well. Then the plan
is kept there, too, and `facegpt status OUTPUT` says how far the run was from it.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.annotate import add_settings, config_from
from jobs.arguments import count
from pipeline.planning.machines import chosen
from pipeline.planning.make import make_plan
from pipeline.planning.table import lines

EXAMPLES = """\
  facegpt plan photos/
  facegpt plan photos/ --images 1000000 --machines all
  facegpt plan photos/ --machines c7i.4xlarge g6.xlarge
  facegpt plan photos/ --machines my-machines.yaml      # prices and machines of your own; see docs/cluster.md
  facegpt plan s3://bucket/photos --output s3://bucket/faces --set model.device=cuda
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help="as for annotate")
    parser.add_argument(
        "--output",
        metavar="OUTPUT",
        help="where the run will write: the store is timed, and the plan kept for `facegpt status`",
    )
    parser.add_argument(
        "--images", type=count, metavar="N", help="plan for N such images instead of all of INPUT"
    )
    parser.add_argument(
        "--machines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="plan for other machines, too: names, `all`, or a file of machines (.yaml)",
    )
    parser.add_argument("--probe", type=count, default=200, metavar="N", help="images to try (default 200)")
    add_settings(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    config = config_from(args)
    machines, noted = chosen(args.machines) if args.machines else ([], "")
    plan = make_plan(
        args.input,
        config,
        output=args.output,
        images=args.images,
        sample=args.probe,
        machines=machines,
        say=lambda line: print(line, file=sys.stderr if args.json else sys.stdout),
    )
    if args.json:
        print(json.dumps(plan.as_json()))
        return 0
    print("\n".join(lines(plan, noted)))
    if args.output:
        print(f"kept in {args.output}: `facegpt status` compares the run with it")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["plan", *sys.argv[1:]]))
