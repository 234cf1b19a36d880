"""Answer a question about every face in a photo."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from facegpt.bundled import BUNDLED
from facegpt.model.checkpoint import CheckpointError, load
from facegpt.model.generation import generate_faces
from jobs.annotate import add_commercial_only
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.weights import require_commercial
from pipeline.config import load_config
from pipeline.errors import NothingRanError, UsageError
from pipeline.photos.one_photo import faces_in
from pipeline.run.setup import weights_of

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
    question = args.question.strip().rstrip("?").strip().lower()
    if not question:
        raise UsageError("QUESTION is empty")
    config = load_config(args.config, [*args.set, *args.licences])
    if config.licences.commercial_only:
        require_commercial(weights_of(config, CheckpointSource(args.model, config.model.face_model)))
    try:
        checkpoint = load(args.model)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    faces = faces_in(args.image, config, int(checkpoint.model.config.crop_size))
    if not faces:
        raise NothingRanError(f"no face was found in {args.image}")
    pixels = checkpoint.processor.pixel_values(np.stack([face.crop for face in faces]))
    said = generate_faces(checkpoint.model, checkpoint.processor, pixels, question=question)
    for number, (face, answer) in enumerate(zip(faces, said.texts, strict=True), 1):
        x0, y0, x1, y1 = (round(value) for value in face.detection.box)
        print(f"face {number} at {x0},{y0} to {x1},{y1}: {answer}")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["ask", *sys.argv[1:]]))
