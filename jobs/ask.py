"""Answer a question about every face in a photo."""

from __future__ import annotations

import argparse
import sys

from facegpt.bundled import BUNDLED
from facegpt.library.errors import LoadError, PhotoError
from facegpt.library.serving import FaceGpt, plain_question
from jobs.annotate import add_commercial_only
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.weights import require_commercial
from pipeline.config import load_config
from pipeline.errors import NothingRanError, UsageError, describe
from pipeline.run.setup import weights_of
from pipeline.sources import Fetcher
from pipeline.storage.locations import Entry, normalize

EXAMPLES = """\
  facegpt ask photo.jpg "is the mouth open"
  facegpt ask s3://bucket/photo.jpg "which way does the head turn" --set detector.name=insightface
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="path or s3:// URL of a photo")
    parser.add_argument("question", metavar="QUESTION", help='in plain words, such as "are the eyes closed"')
    parser.add_argument(
        "--model", default=BUNDLED, help=f"'{BUNDLED}' (default), a checkpoint folder or a hub name"
    )
    parser.add_argument("--config", help="YAML file: the detector's settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    add_commercial_only(parser)


def run(args: argparse.Namespace) -> int:
    try:
        question = plain_question(args.question)
    except ValueError:
        raise UsageError("QUESTION is empty") from None
    config = load_config(args.config, [*args.set, *args.licences])
    if config.licences.commercial_only:
        require_commercial(weights_of(config, CheckpointSource(args.model, config.model.face_model)))
    model = FaceGpt(args.model, device="cpu", detector=config.detector, decode=config.decode)
    try:
        answers = model.ask(_bytes_of(args.image, config.decode.max_bytes), question)
    except LoadError as error:
        raise UsageError(str(error)) from None
    except PhotoError as error:
        raise UsageError(f"{args.image} is no photo that can be read: {error.reason}") from None
    if not answers:
        raise NothingRanError(f"no face was found in {args.image}")
    for number, answer in enumerate(sorted(answers, key=lambda answer: answer.box_xyxy), 1):
        x0, y0, x1, y1 = (round(value) for value in answer.box_xyxy)
        print(f"face {number} at {x0},{y0} to {x1},{y1}: {answer.text}")
    return 0


def _bytes_of(location: str, max_bytes: int) -> bytes:
    """The bytes of the photo at a path or s3:// URL; raises UsageError if it cannot be read."""
    try:
        return Fetcher(max_bytes)(Entry(normalize(location), None, None)).data
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {location}: {describe(error)}") from error


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["ask", *sys.argv[1:]]))
