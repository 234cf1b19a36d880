"""Trains a FaceGPT on rendered faces, the small one or one on a backbone, on a CPU or a GPU. Stopped runs go on where
they were last saved.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from facegpt.bundled import BUNDLED
from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.formats.load import stored_model
from facegpt.training.config import TrainConfig, train_config
from facegpt.training.data.pool import shards_needed
from facegpt.training.data.shard_cache import HELD_OUT, render_shards
from facegpt.training.data.writer import DialogueWriter
from facegpt.training.loop import Trainer
from facegpt.training.parallel import first_goes_first, rank
from facegpt.training.photos.crops import PhotoCrops
from facegpt.training.precision import in_bfloat16
from facegpt.training.start.check_face_model import check_trainable
from jobs.train_start import finished, start
from pipeline.config import load_config
from pipeline.errors import UsageError
from pipeline.execution.train_group import train_together
from pipeline.photos.training_crops import cut_photos

EXAMPLES = """\
  facegpt train configs/small.yaml
  facegpt train configs/small.yaml --render-workers 2
  facegpt train configs/small.yaml --workers 4    # together, on a Ray cluster or on this machine
  facegpt train configs/backbone.yaml             # a LLaVA becomes a FaceGPT (GPU)
"""
log = logging.getLogger("facegpt.train")
PHOTOS = "photos.npz"
MODEL = "model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="YAML file of training settings")
    parser.add_argument(
        "--face-model",
        metavar="FILE",
        help="the face model to train on, in place of the config's (default bundled)",
    )
    parser.add_argument(
        "--render-workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that render faces ahead, on each machine (default 1)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that train together, by Ray Train, in place of the config's (default 1); see docs/cluster.md",
    )


def run(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    if args.face_model is not None:
        config = replace(config, face_model=args.face_model)
    if args.workers is not None:
        config = replace(config, workers=args.workers)
    face_model = read_face_model(config.face_model)
    started = time.monotonic()
    if config.workers > 1:
        folder = Path(config.output) / MODEL
        train_together(partial(_part, config, args.render_workers), config)
    else:
        with render_ahead(config, args.render_workers) as failed:
            folder = train(config, face_model, failed)
    print(f"{folder}: {config.steps} steps, {time.monotonic() - started:.0f} s in this run")
    return 0


def train(config: TrainConfig, face_model: FaceModel, failed: Callable[[], bool]) -> Path:
    """Trains as `config` says on shards that others render, unless they `failed`; returns the checkpoint's folder.

    Of several processes that train together, the first one writes.
    """
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    model_folder = output / MODEL
    with first_goes_first():
        photos = read_photos(config, output) if config.photos_steps else None
        model, processor = start(config, face_model, model_folder)
    writer = DialogueWriter(processor, face_model, config.seed, config.text_every, config.descriptions)
    trainer = Trainer(config, model, face_model, writer, log.info, failed=failed, photos=photos)
    log.info("config %s", json.dumps(asdict(config)))
    log.info("computing in %s on %s", "bfloat16" if in_bfloat16(config) else "float32", config.device)
    if trainer.resume():
        log.info("going on at step %d", trainer.state.step)
    trained = trainer.run()
    if rank() == 0:
        finished(trained, config).save_pretrained(model_folder)
        processor.save_pretrained(model_folder)
    return model_folder


def _part(config: TrainConfig, render_workers: int) -> None:
    """What each of several processes does; on each machine the first one has the faces rendered."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("facegpt").setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    with render_ahead(config, render_workers) if first else nullcontext(lambda: False) as failed:
        train(config, read_face_model(config.face_model), failed)


def read_config(path: str) -> TrainConfig:
    """Reads the YAML file; raises UsageError with one clear line."""
    try:
        values: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the training config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"the training config {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"the training config {path} must be a mapping of settings")
    try:
        return train_config(values)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def read_photos(config: TrainConfig, output: Path) -> PhotoCrops:
    """The faces of the config's photos, cut when the run first starts and kept in its folder."""
    path = output / PHOTOS
    if path.exists():
        photos = PhotoCrops.load(path)
    else:
        settings = load_config(None, [f"detector.name={json.dumps(config.detector)}"])
        photos = cut_photos(config.photos, settings, config.size, config.photo_quality)
        photos.save(path)
    log.info("%d faces to learn from without labels, in %s", len(photos), path)
    return photos


def read_face_model(name: str) -> FaceModel:
    """The face model to train on; raises UsageError with one clear line if it is missing or cannot be trained on."""
    if name == BUNDLED:
        return bundled()
    try:
        model = stored_model(Path(name).expanduser())
        check_trainable(model)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return model


@contextmanager
def render_ahead(config: TrainConfig, workers: int) -> Iterator[Any]:
    """Renders the shards that training will ask for in `workers` processes of their own, at least one; gives a function
    that says if one died.
    """
    workers = max(1, workers)
    numbers = [*shards_needed(config), HELD_OUT]
    # The held-out shard is wanted at the first evaluation, after the pool has been filled.
    numbers.insert(min(config.pool, len(numbers) - 1), numbers.pop())
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=render_shards,
            args=(
                config.synthetic_folder,
                config.shard_faces,
                config.size,
                numbers[k::workers],
                config.face_model,
                config.without,
            ),
            daemon=True,
        )
        for k in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        yield lambda: any(process.exitcode not in (None, 0) for process in processes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
