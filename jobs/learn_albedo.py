"""Learn what faces look like, beyond the albedo of a face model, from photos without labels.

PHOTOS are folders, tars, lists or Parquet files, as `annotate` reads them. A checkpoint reconstructs the surest face of
each; what the photos show beyond that becomes new albedo modes, in place of the face model's last ones. DEST is a face
model of this project (.safetensors). A model has to be trained on it: `--checkpoint` writes one to begin with, and the
config of `facegpt train` names both (`start.initial`, `start.face_model`). docs/models.md says what was measured.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import torch

from facegpt.bundled import BUNDLED
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import CheckpointError
from facegpt.morphable import Theta
from facegpt.training.albedo.learn import carry_over, learn_albedo
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.photos.surest import spread_photos, surest_faces

EXAMPLES = """\
  facegpt learn-albedo photos/ portraits.safetensors
  facegpt learn-albedo s3://bucket/portraits list.txt portraits.safetensors --modes 40 --checkpoint start/
"""
LOG = logging.getLogger("facegpt")
LOG_EVERY = 200
MOST = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTOS", help="photos of faces; a thousand are a good start"
    )
    parser.add_argument("dest", metavar="DEST", help="the .safetensors file to write the face model to")
    parser.add_argument("--model", default=BUNDLED, help="the checkpoint that reconstructs (default bundled)")
    parser.add_argument(
        "--face-model", default=BUNDLED, metavar="FILE", help="the face model that it was trained on"
    )
    parser.add_argument("--modes", type=int, default=56, help="how many modes to learn (default 56)")
    parser.add_argument(
        "--limit", type=int, default=MOST, help="of more photos of one location, take so many, evenly spread"
    )
    parser.add_argument("--id", default="learned-albedo/1", help="what the tables are to call the face model")
    parser.add_argument(
        "--checkpoint", metavar="DIR", help="write the checkpoint, carried over, to train on from"
    )
    parser.add_argument("--config", metavar="FILE", help="configuration of the detector, as for annotate")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=c",
        dest="overrides",
        help="overrides the configuration",
    )


def run(args: argparse.Namespace) -> int:
    dest = Path(args.dest)
    if dest.suffix != ".safetensors":
        raise UsageError(f"DEST {dest} must end in .safetensors: that is how a face model is known")
    if not dest.parent.is_dir():
        raise UsageError(f"cannot write {dest}: there is no folder {dest.parent}")
    try:
        annotator = FaceAnnotator.from_pretrained(args.model, face_model=args.face_model)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    before = annotator.face_model
    keep = before.n_albedo - args.modes
    if args.modes < 1 or keep < 0:
        raise UsageError(
            f"--modes {args.modes}: 1 to {before.n_albedo} take the place of as many of {before.id}"
        )
    theta, pixels = reconstructed(
        annotator, args.photos, load_config(args.config, args.overrides), args.limit
    )
    LOG.info("%d faces; learning %d modes", len(theta), args.modes)
    try:
        after, learned = learn_albedo(before, theta, pixels, count=args.modes, keep=keep, name=args.id)
        start = carry_over(annotator.checkpoint.model, before, after, keep) if args.checkpoint else None
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None
    try:
        after.save(dest)
        if start is not None:
            start.half().save_pretrained(args.checkpoint)
            annotator.checkpoint.processor.save_pretrained(args.checkpoint)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or dest}: {error.strerror}") from None
    print(
        f"{dest}: {after.id}, {keep} albedo modes of {before.id} and {args.modes} learned from {len(theta):,} faces, "
        f"sha256 {after.sha256[:12]}\nthe learned ones hold {100 * learned.share:.0f} % of what these photos show "
        "beyond their reconstructions"
    )
    return 0


def reconstructed(
    annotator: FaceAnnotator, locations: list[str], config: RunConfig, limit: int
) -> tuple[Theta, torch.Tensor]:
    """Reconstructs the surest face of each photo: theta (N) and the crops (N,3,H,H) in 0..1.

    Raises UsageError if there is no face in any.
    """
    photos = [photo for location in locations for photo in spread_photos(location, limit)]
    crops, unreadable = [], 0
    for number, face in enumerate(surest_faces(photos, config, annotator.crop_size), 1):
        unreadable += face.unreadable is not None
        if face.crop is not None:
            crops.append(face.crop)
        if number % LOG_EVERY == 0 or number == len(photos):
            LOG.info("%d faces in %d photos (%d cannot be read)", len(crops), number, unreadable)
    if not crops:
        raise UsageError(f"no face to learn from in {len(photos):,} images of {', '.join(locations)}")
    parts = []
    for first in range(0, len(crops), LOG_EVERY):
        parts += annotator.annotate(crops[first : first + LOG_EVERY])
        LOG.info("%d of %d faces reconstructed", len(parts), len(crops))
    theta = Theta.from_annotations([vars(part) for part in parts])
    return theta, torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["learn-albedo", *sys.argv[1:]]))
