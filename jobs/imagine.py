"""Make 3D faces from a description: a mesh (GLB) and parameters (JSON) for each, and one picture of all."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from facegpt.bundled import BUNDLED
from facegpt.library.errors import LoadError
from facegpt.library.serving import FaceGpt
from facegpt.library.sheet import PICTURE, write_faces
from facegpt.model.imagination import TEMPERATURE
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.weights import require_commercial
from pipeline.errors import UsageError

EXAMPLES = """\
  facegpt imagine "a narrow face, broad smile, looking left" imagined/
  facegpt imagine "broad smile, light from the left" imagined/ --count 9 --seed 100
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="form, expression, pose and light, in any order")
    parser.add_argument(
        "folder", metavar="DEST", type=Path, help="where the files go; made if it is not there"
    )
    parser.add_argument("--count", type=int, default=4, metavar="N", help="how many faces (default 4)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first face (default 0)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=TEMPERATURE,
        metavar="T",
        help=f"how much what is not named varies (default {TEMPERATURE})",
    )
    parser.add_argument(
        "--model", default=BUNDLED, help=f"'{BUNDLED}' (default), a checkpoint folder or a hub name"
    )
    parser.add_argument(
        "--commercial-only",
        action="store_true",
        help="refuse a model that is not known to permit commercial use",
    )


def run(args: argparse.Namespace) -> int:
    if args.count < 1 or args.seed < 0 or args.temperature < 0:
        raise UsageError("--count is at least 1, --seed and --temperature are not negative")
    if args.commercial_only:
        require_commercial(CheckpointSource(args.model).weights)
    torch.set_num_threads(2)
    model = FaceGpt(args.model, device="cpu")
    try:
        faces = model.imagine(args.text, count=args.count, seed=args.seed, temperature=args.temperature)
    except (LoadError, ValueError) as error:
        raise UsageError(str(error)) from None
    try:
        write_faces(faces, args.folder)
    except OSError as error:
        raise UsageError(f"cannot write to {args.folder}: {error.strerror}") from None
    print(f"{args.count} faces in {args.folder}: face-*.glb, face-*.json; look at {args.folder / PICTURE}")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["imagine", *sys.argv[1:]]))
