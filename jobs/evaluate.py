"""Measures a FaceGPT checkpoint: on rendered faces with known parameters, on twins of them that differ in one thing, on
photos with labelled landmarks, or on photos alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import torch

from facegpt.bundled import BUNDLED
from facegpt.evaluation.audit import audit_checkpoint
from facegpt.evaluation.card import (
    CardError,
    Figures,
    audit_table,
    check_section,
    figures_table,
    with_section,
)
from facegpt.evaluation.language import evaluate_chat, evaluate_descriptions, evaluate_every_question
from facegpt.evaluation.photos import measure_labelled, measure_photos
from facegpt.evaluation.rendered import evaluate_rendered
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import CheckpointError
from facegpt.synthetic.faces import concatenate, render_faces
from facegpt.training.config import HELD_OUT
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.photos.labelled import LISTING, read_labelled
from pipeline.photos.surest import spread_photos, surest_faces
from pipeline.sources import Listing

EXAMPLES = """\
  facegpt evaluate bundled rendered
  facegpt evaluate bundled audit --faces 512
  facegpt evaluate bundled path/to/faces_dev --set detector.name=dlib --json figures.json
  facegpt evaluate bundled path/to/portraits --faces 100
  facegpt evaluate path/to/checkpoint rendered --card path/to/checkpoint/README.md
"""
RENDERED, AUDIT, LABELLED, PHOTOS = "rendered", "audit", "labelled", "photos"
FACES_PER_STREAM = 64
FIRST_STREAM = HELD_OUT * 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="'bundled', a checkpoint folder or a hub name")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="'rendered', 'audit', a folder with faces.jsonl (path, landmarks68, maybe pose), or photos: any corpus",
    )
    parser.add_argument(
        "--face-model", metavar="FILE", default=BUNDLED, help="the face model that MODEL was trained on"
    )
    parser.add_argument(
        "--faces", type=int, default=1024, help="how many rendered faces, or photos at most (default 1024)"
    )
    parser.add_argument("--config", help="YAML file: the detector's settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--card",
        metavar="FILE",
        help="put the figures and this command into this model card, between its marks for DATA",
    )


def run(args: argparse.Namespace) -> int:
    torch.set_num_threads(2)
    if args.faces < 2:
        raise UsageError("--faces must be at least 2")
    config = load_config(args.config, args.set)
    section = _section(args.data)
    card = _read_card(args.card, section)
    try:
        annotator = FaceAnnotator.from_pretrained(args.model, face_model=args.face_model)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    figures = _measure(section, annotator, args, config)
    for group, values in figures.items():
        print(group)
        for name, value in values.items():
            print(f"  {name:36} {value:.4g}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if args.card:
        table = audit_table(figures) if section == AUDIT else figures_table(figures)
        body = f"{_origin(args, annotator)}\n\n{table}"
        _replace(Path(args.card), with_section(card, section, body))
    return 0


def _section(data: str) -> str:
    """Returns the kind of DATA, which names its section of a model card; raises UsageError if it is none."""
    if data in (RENDERED, AUDIT):
        return data
    if (Path(data) / LISTING).is_file():
        return LABELLED
    try:
        next(iter(Listing(data, limit=1)))
    except UsageError as error:
        raise UsageError(
            f"{error}; DATA is 'rendered', 'audit', a folder with {LISTING}, or photos: a folder, a tar, a Parquet "
            "file, a list or an s3:// URL of these"
        ) from None
    return PHOTOS


def _measure(section: str, annotator: FaceAnnotator, args: argparse.Namespace, config: RunConfig) -> Figures:
    """Measures the model on DATA."""
    if section == RENDERED:
        return {RENDERED: _measure_rendered(annotator, args.faces)}
    if section == AUDIT:
        return audit_checkpoint(
            annotator.checkpoint, annotator.face_model, args.faces, FIRST_STREAM, annotator.crop_size
        )
    if section == LABELLED:
        return measure_labelled(annotator, list(read_labelled(args.data, config, annotator.crop_size)))
    photos = spread_photos(args.data, args.faces)
    name = Path(args.data).resolve().name
    return {name: measure_photos(annotator, surest_faces(photos, config, annotator.crop_size))}


def _measure_rendered(annotator: FaceAnnotator, count: int) -> dict[str, float]:
    """Measures the model on `count` rendered faces, of streams that training never draws from."""
    model = annotator.face_model
    streams = range(FIRST_STREAM, FIRST_STREAM + max(1, -(-count // FACES_PER_STREAM)))
    faces = concatenate(
        [render_faces(model, stream, FACES_PER_STREAM, annotator.crop_size) for stream in streams]
    )
    figures = {
        **evaluate_rendered(annotator.checkpoint, model, faces),
        **evaluate_chat(annotator.checkpoint, model, faces),
        **evaluate_every_question(annotator.checkpoint, model, faces),
    }
    if annotator.checkpoint.model.config.noise_size:
        figures |= evaluate_descriptions(annotator.checkpoint, model, faces)
    return figures


def _read_card(path: str | None, section: str) -> str:
    """Reads a model card; raises UsageError, before minutes are spent on figures, if it has no such section."""
    if path is None:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        check_section(text, section)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--card: cannot read {path}: {error}") from None
    except CardError as error:
        raise UsageError(f"--card {path}: {error}") from None
    return text


def _origin(args: argparse.Namespace, annotator: FaceAnnotator) -> str:
    """Formats the command, without the folders of this machine, and the checkpoint that it measured."""
    parts = ["facegpt", "evaluate", _short(args.model), _short(args.data)]
    if args.face_model != BUNDLED:
        parts += ["--face-model", _short(args.face_model)]
    if args.faces != 1024:
        parts += ["--faces", str(args.faces)]
    if args.config:
        parts += ["--config", _short(args.config)]
    for setting in args.set:
        key, _, value = setting.partition("=")
        parts += ["--set", f"{key}={_short(value)}"]
    model = annotator.face_model
    return (
        f"`{shlex.join(parts)}`, of the checkpoint with the digest `{annotator.digest[:12]}` on the face model "
        f"`{model.id}` (`{model.sha256[:12]}`)."
    )


def _short(name: str) -> str:
    """Returns the last part of a path, and leaves other names alone."""
    return Path(name).resolve().name if Path(name).exists() else name


def _replace(path: Path, text: str) -> None:
    """Replaces a file at once: it is written whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
