"""Turn photos into a table of 3D faces: parameters, pose, landmarks, caption and mesh of every face.

INPUT, here or at an s3:// URL, is one of
  a folder or prefix, with all below it: images, WebDataset tars (.tar), Parquet files with a column of image bytes
  one image, one .tar, or one .parquet with image bytes (a column of bytes, or of structs with a field `bytes`)
  a list (.txt, .csv, .parquet with a column `uri`) of paths and URLs
The text beside an image in a tar (.txt, .json) or Parquet file (caption, text) is kept in the ledger.
OUTPUT is a folder or an s3:// prefix. The same command again goes on where it stopped, and adds what is new in INPUT.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.arguments import count, share
from pipeline.config import RunConfig, load_config
from pipeline.errors import NothingRanError
from pipeline.run.annotate import annotate
from pipeline.run.work import RunSummary

EXAMPLES = """\
  facegpt annotate photos/ faces/
  facegpt annotate s3://bucket/photos s3://bucket/faces --set model.device=cuda
  facegpt annotate photos/ faces/ --set detector.name=insightface --set detector.model=det_500m.onnx
  facegpt annotate s3://bucket/tars/ faces/
  facegpt annotate train-00000.parquet faces/
  facegpt annotate photos/ dry/ --detector null --model null   # a dry run: everything but faces; its rows are no data
  facegpt annotate photos/ try/ --limit 100 --max-failed 0.01
  facegpt annotate photos/ faces/ --commercial-only   # refuses weights that may not be used commercially
"""
SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="INPUT", help="folder, image, .tar, .parquet or list, here or on S3; see above"
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="folder or s3:// prefix; new, empty, or of an earlier run"
    )
    add_settings(parser)
    parser.add_argument(
        "--limit",
        type=count,
        metavar="N",
        help="only the first N images: by name, of a list its first lines",
    )
    parser.add_argument(
        "--replace", action="store_true", help="delete what an earlier run wrote to OUTPUT first"
    )
    parser.add_argument(
        "--max-failed",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit with 1 if more than this share of the images failed (0 to 1; default 1: what failed stands in the "
        "ledger, and is no reason to stop what comes next)",
    )
    parser.add_argument("--print-config", action="store_true", help="print the whole configuration, and stop")


def run(args: argparse.Namespace) -> int:
    config = config_from(args)
    if args.print_config:
        print(config.as_yaml(), end="")
        return 0
    summary = annotate(args.input, args.output, config, limit=args.limit, replace=args.replace)
    return conclude(summary, args.output, args.max_failed)


def conclude(summary: RunSummary, output: str, max_failed: float) -> int:
    """Says how a run ended; returns its exit code.

    Raises:
        NothingRanError: no shard was committed.
    """
    if not summary.shards:
        return 0
    if summary.refused:
        print(f"the run was stopped, since OUTPUT takes no more: {summary.refused}", file=sys.stderr)
    else:
        _complain(summary.errors)
    if not summary.committed:
        raise NothingRanError("no shard was committed; see the reasons above")
    print(line(summary, output))
    if summary.errors:
        print(
            f"{len(summary.errors)} shards are left, the others are whole; the same command tries them again",
            file=sys.stderr,
        )
        return 1
    return 1 if summary.failed_share > max_failed else 0


def _complain(errors: dict[str, str]) -> None:
    for shard, reason in list(errors.items())[:SHOWN]:
        print(f"shard {shard} is not committed: {reason}", file=sys.stderr)
    if len(errors) > SHOWN:
        print(f"and {len(errors) - SHOWN} more shards", file=sys.stderr)


def line(summary: RunSummary, output: str) -> str:
    """Describes the run in one line."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(summary.statuses.items()))
    rate = summary.images / max(summary.seconds, 1e-9)
    return (
        f"{summary.images:,} images ({statuses}), {summary.faces:,} faces, {summary.meshes:,} meshes "
        f"in {summary.seconds:.1f} s ({rate:.1f} images/s) -> {output}"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Gives a job the options that make up the configuration of a run; `config_from` reads them."""
    parser.add_argument(
        "--model", metavar="PATH", help="short for --set model.path=PATH; `null` looks at no face"
    )
    parser.add_argument(
        "--face-model",
        metavar="FILE",
        help="short for --set model.face_model=FILE: the face model that the checkpoint was trained on",
    )
    parser.add_argument(
        "--detector", metavar="NAME", help="short for --set detector.name=NAME; `null` looks for no face"
    )
    add_commercial_only(parser)
    parser.add_argument("--config", metavar="FILE", help="YAML; what it leaves out has its default")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="one setting, such as detector.name=dlib",
    )


def config_from(args: argparse.Namespace) -> RunConfig:
    """Reads the configuration that the options of `add_settings` say; raises UsageError."""
    # JSON quotes a name such that YAML, which the values of overrides are, reads it as the text that it is.
    short = {
        "model.path": args.model,
        "model.face_model": args.face_model,
        "detector.name": args.detector,
    }
    names = [f"{key}={json.dumps(name)}" for key, name in short.items() if name is not None]
    return load_config(args.config, [*args.overrides, *names, *args.licences])


def add_commercial_only(parser: argparse.ArgumentParser) -> None:
    """Gives a job the flag; `args.licences` are the settings that it stands for."""
    parser.add_argument(
        "--commercial-only",
        action="store_const",
        const=["licences.commercial_only=true"],
        default=[],
        dest="licences",
        help="short for --set licences.commercial_only=true: refuse weights not known to permit commercial use",
    )


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["annotate", *sys.argv[1:]]))
