"""Fit a mapping from the parameters of one face model to those of another, and say its error in mm.

SOURCE and TARGET are `bundled`, a face model of this project (.safetensors), or one in its publisher's format (see
`facegpt import-face-model --help`). DEST is one .safetensors file: the linear maps, id and sha256 of both models. The
error is measured on random faces of SOURCE: the distance from their visible skin to the converted face's surface.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from facegpt.morphable.conversion.mapping import fit_mapping
from facegpt.morphable.conversion.measure import measure, random_faces
from facegpt.morphable.conversion.registration import register
from jobs.import_face_model import draw, example_faces, load
from pipeline.errors import UsageError

EXAMPLES = """\
  facegpt convert-face-model ICT-FaceKit/FaceXModel bundled ict-to-anny.safetensors --picture ict-to-anny.png
  facegpt convert-face-model bfm2017.safetensors bundled bfm-to-anny.safetensors --faces 500
"""
SEED = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="the face model whose parameters there are")
    parser.add_argument("target", metavar="TARGET", help="the face model whose parameters are wanted")
    parser.add_argument("dest", metavar="DEST", help="the .safetensors file to write the mapping to")
    parser.add_argument("--landmarks", metavar="FILE", help="68 iBUG points of SOURCE")
    parser.add_argument("--target-landmarks", metavar="FILE", help="68 iBUG points of TARGET")
    parser.add_argument("--faces", type=int, default=200, help="random faces to measure on (default 200)")
    parser.add_argument("--picture", metavar="PNG", help="draw faces of SOURCE and what they become")


def run(args: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    if args.faces < 1:
        raise UsageError("--faces must be at least 1")
    source, target = load(args.source, args.landmarks), load(args.target, args.target_landmarks)
    correspondence = register(source, target)
    mapping = fit_mapping(source, target, correspondence)
    figures: dict[str, float] = {
        "points": float(len(correspondence.target)),
        "registration_mean_mm": 1e3 * float(correspondence.distance.mean()),
    }
    for name, expressive in (("neutral", False), ("expressive", True)):
        faces = random_faces(source, args.faces, SEED, expressive)
        figures |= measure(mapping, source, target, correspondence, faces).figures(name)
    mapping = dataclasses.replace(mapping, figures=figures)
    try:
        mapping.save(Path(args.dest))
    except OSError as error:
        raise UsageError(f"cannot write {args.dest}: {error.strerror}") from None
    print(f"{args.dest}: {source.id} ({source.sha256[:12]}) -> {target.id} ({target.sha256[:12]})")
    print(
        f"fitted over {len(correspondence.target):,} points, {args.faces} random faces of {source.id} each:"
    )
    for name in ("neutral", "expressive"):
        for what, prefix in (("converted", name), ("mean face", f"{name}_mean_face")):
            values = [figures[f"{prefix}_{part}_mm"] for part in ("mean", "median", "p95")]
            print(
                f"  {name:10} {what:9}  mean {values[0]:.2f}, median {values[1]:.2f}, 95 % {values[2]:.2f} mm"
            )
    if args.picture:
        shape, expression = example_faces(source)
        converted = mapping(shape, expression)
        draw(
            args.picture,
            [(source, shape, expression), (target, converted.shape, converted.expression)],
            marks=False,
        )
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["convert-face-model", *sys.argv[1:]]))
