"""Store a published face model (BFM, FLAME, ICT-FaceKit, GNM) as a face model of this project: one .safetensors file.

SOURCE is BFM 2009's 01_MorphableModel.mat, Deep3D's BFM_model_front.mat, a BFM 2017/2019 .h5, a FLAME .pkl with
landmark_embedding.npy beside it, ICT-FaceKit's folder FaceXModel, or GNM's gnm_head.npz with head_sparse_68.txt.
docs/models.md says where each comes from and what its licence allows; DEST is under that licence, too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from facegpt.morphable import FaceModel
from facegpt.morphable.formats import FaceModelError
from facegpt.morphable.formats.load import load_face_model
from pipeline.errors import UsageError

EXAMPLES = """\
  facegpt import-face-model ICT-FaceKit/FaceXModel ict.safetensors --picture ict.png
  facegpt import-face-model model2017-1_bfm_nomouth.h5 bfm2017.safetensors --keep 80 64 80
  facegpt import-face-model model2019_fullHead.h5 full.safetensors --landmarks full68.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a face model in its publisher's format; see above")
    parser.add_argument("dest", metavar="DEST", help="the .safetensors file to write")
    parser.add_argument(
        "--landmarks",
        metavar="FILE",
        help="68 iBUG points in place of the format's own: lines `vertex`, `i0 w0 i1 w1 i2 w2` or `number = vertex`",
    )
    parser.add_argument(
        "--keep",
        nargs=3,
        type=int,
        metavar=("SHAPE", "EXPRESSION", "ALBEDO"),
        help="how many of the first modes to keep (default all)",
    )
    parser.add_argument("--picture", metavar="PNG", help="draw the model with its landmarks, to look at")


def run(args: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    dest = Path(args.dest)
    if dest.suffix != ".safetensors":
        raise UsageError(f"DEST {dest} must end in .safetensors: that is how a face model is known")
    model = load(args.source, args.landmarks, tuple(args.keep) if args.keep else None)
    try:
        model.save(dest)
    except OSError as error:
        raise UsageError(f"cannot write {dest}: {error.strerror}") from None
    print(
        f"{dest}: {model.id}, {model.n_vertices:,} vertices, {model.n_shape} shape, {model.n_expression} expression "
        f"and {model.n_albedo} albedo modes, sha256 {model.sha256[:12]}"
    )
    print(f"licence: {model.licence}\n{model.conversion}")
    if args.picture:
        faces = example_faces(model)
        draw(args.picture, [(model, *faces)], marks=True)
    return 0


def load(name: str, landmarks: str | None, keep: tuple[int, int, int] | None = None) -> FaceModel:
    """Loads a face model; raises UsageError with the loader's one line."""
    try:
        return load_face_model(name, landmarks, keep)
    except FaceModelError as error:
        raise UsageError(str(error)) from None


def example_faces(model: FaceModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns shape and expression of three faces: the mean one, and two random ones, the last with an expression."""
    from facegpt.morphable.conversion.measure import random_faces

    shape, expression = random_faces(model, 3, seed=0)
    shape[0], expression[:2] = 0, 0
    return shape, expression


def draw(path: str, rows: list[tuple[FaceModel, torch.Tensor, torch.Tensor]], marks: bool) -> None:
    """Draws faces of models side by side into a PNG; raises UsageError if it cannot be written."""
    import numpy as np
    from PIL import Image

    from facegpt.morphable.picture import portrait

    picture = np.concatenate([portrait(*row, marks=marks) for row in rows], 1)
    try:
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}") from None
    print(f"{path}: look at it before you trust the model")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["import-face-model", *sys.argv[1:]]))
