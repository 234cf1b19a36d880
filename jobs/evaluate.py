"""Measures a FaceGPT checkpoint: on rendered faces with known parameters, or on photos with labelled landmarks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from facegpt.evaluation.geometry import landmark_nme
from facegpt.evaluation.language import evaluate_chat, evaluate_descriptions
from facegpt.evaluation.rendered import evaluate_rendered, rank_correlation
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import BUNDLED, CheckpointError
from facegpt.training.synthetic.faces import concatenate, render_faces
from facegpt.training.synthetic.shards import HELD_OUT
from pipeline.config import load_config
from pipeline.crop import to_image
from pipeline.errors import UsageError
from pipeline.labelled import LabelledFace, read_labelled

EXAMPLES = """\
  facegpt evaluate bundled rendered
  facegpt evaluate bundled path/to/faces_dev --set detector.name=dlib --json figures.json
"""
RENDERED = "rendered"
CHUNK = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="'bundled', a checkpoint folder or a hub name")
    parser.add_argument("data", metavar="DATA", help="'rendered', or a folder with faces.jsonl")
    parser.add_argument(
        "--face-model", metavar="FILE", default=BUNDLED, help="the face model that MODEL was trained on"
    )
    parser.add_argument("--faces", type=int, default=1024, help="how many rendered faces (default 1024)")
    parser.add_argument("--config", help="YAML file: the detector's settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")


def run(args: argparse.Namespace) -> int:
    torch.set_num_threads(2)
    config = load_config(args.config, args.set)
    try:
        annotator = FaceAnnotator.from_pretrained(args.model, face_model=args.face_model)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    if args.data == RENDERED:
        figures = {RENDERED: _rendered(annotator, args.faces)}
    else:
        figures = _labelled(annotator, list(read_labelled(args.data, config, annotator.crop_size)))
    for group, values in figures.items():
        print(group)
        for name, value in values.items():
            print(f"  {name:28} {value:.4g}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _rendered(annotator: FaceAnnotator, count: int) -> dict[str, float]:
    """Figures on fresh faces of a stream that training never draws from."""
    model = annotator.face_model
    streams = range(HELD_OUT * 128, HELD_OUT * 128 + max(1, -(-count // CHUNK)))
    faces = concatenate([render_faces(model, stream, CHUNK, annotator.crop_size) for stream in streams])
    figures = {
        **evaluate_rendered(annotator.checkpoint, model, faces),
        **evaluate_chat(annotator.checkpoint, model, faces),
    }
    if annotator.checkpoint.model.config.noise_size:
        figures |= evaluate_descriptions(annotator.checkpoint, model, faces)
    return figures


def _labelled(annotator: FaceAnnotator, faces: list[LabelledFace]) -> dict[str, dict[str, float]]:
    """Figures by set of faces; a face that the detector missed has no landmarks and counts in `found` alone."""
    figures: dict[str, dict[str, float]] = {}
    for group in sorted({face.group for face in faces}):
        members = [face for face in faces if face.group == group]
        found = [face for face in members if face.crop is not None and face.crop_matrix is not None]
        figures[group] = {"faces": len(members), "found": len(found)}
        if not found:
            continue
        said = annotator.annotate(np.stack([face.crop for face in found if face.crop is not None]))
        points = np.stack(
            [
                to_image(np.asarray(one.landmarks68, np.float64), face.crop_matrix)
                for one, face in zip(said, found, strict=True)
                if face.crop_matrix is not None
            ]
        )
        error = landmark_nme(points, np.stack([face.landmarks68 for face in found]))
        percent = 100 * error.per_face.numpy()
        figures[group] |= {
            "nme_percent": 100 * error.mean,
            "nme_percent_median": float(np.median(percent)),
            **{f"nme_percent_{part}": 100 * value for part, value in error.parts.items()},
            "psnr_db": float(np.mean([one.photometric_psnr for one in said])),
            "caption_agreement": float(np.mean([one.caption_agreement for one in said])),
        }
        if len(found) > 2:
            quality = np.array([one.quality for one in said])
            figures[group]["quality_rank_correlation"] = rank_correlation(quality, percent)
    return figures


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
