"""Trains a FaceGPT on rendered faces, the small one or one on a backbone, on a CPU or a GPU. Stopped runs go on where
they were last saved. docs/train.md says what CONFIG holds.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from facegpt.bundled import BUNDLED
from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.formats.load import stored_model
from facegpt.settings import SettingsError
from facegpt.training.config import HELD_OUT, TrainConfig
from facegpt.training.data.shard_cache import render_shards
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
  facegpt train configs/small.yaml --set data.batch=16 --set stages.polish.steps=9000
  facegpt train configs/small.yaml --print-config
  facegpt train configs/backbone.yaml             # a LLaVA becomes a FaceGPT (GPU)
"""
log = logging.getLogger("facegpt.train")
PHOTOS = "photos.npz"
MODEL = "model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="YAML file of training settings")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="one setting, such as data.batch=16",
    )
    parser.add_argument(
        "--face-model",
        metavar="FILE",
        help="short for --set start.face_model=FILE: the face model to train on (default bundled)",
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
        help="short for --set compute.workers=N: processes that train together, by Ray Train (default 1); "
        "see docs/cluster.md",
    )
    parser.add_argument("--print-config", action="store_true", help="print the whole configuration, and stop")


def run(args: argparse.Namespace) -> int:
    for option, count in (("--workers", args.workers), ("--render-workers", args.render_workers)):
        if count is not None and count < 1:
            raise UsageError(f"{option} {count}: at least 1 is wanted")
    short = {"start.face_model": args.face_model, "compute.workers": args.workers}
    # JSON quotes a name such that YAML, which the values of overrides are, reads it as the text that it is.
    options = [f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None]
    config = read_config(args.config, [*args.overrides, *options])
    if args.print_config:
        print(config.as_yaml(), end="")
        return 0
    face_model = read_face_model(config.start.face_model)
    started = time.monotonic()
    if config.compute.workers > 1:
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
    torch.set_num_threads(config.compute.threads)
    model_folder = output / MODEL
    with first_goes_first():
        photos = read_photos(config, output) if config.stages.photos.steps else None
        model, processor = start(config, face_model, model_folder)
    writer = DialogueWriter(processor, face_model, config.seed, config.text.every, config.text.descriptions)
    trainer = Trainer(config, model, face_model, writer, log.info, failed=failed, photos=photos)
    log.info("config %s", json.dumps(config.model_dump(mode="json")))
    precision = "bfloat16" if in_bfloat16(config) else "float32"
    log.info("computing in %s on %s", precision, config.compute.device)
    if trainer.resume():
        log.info("going on at step %d", trainer.state.step)
    trained = trainer.run()
    if rank() == 0:
        finished(trained, config).save_pretrained(model_folder)
        processor.save_pretrained(model_folder)
    return model_folder


def _part(config: TrainConfig, render_workers: int) -> None:
    """Trains in one of several processes; on each machine the first one has the faces rendered."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("facegpt").setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    with render_ahead(config, render_workers) if first else nullcontext(lambda: False) as failed:
        train(config, read_face_model(config.start.face_model), failed)


def read_config(path: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads the YAML file, of today or with the flat keys of earlier versions, and applies `a.b=value` overrides.

    Raises UsageError with one clear line.
    """
    try:
        return TrainConfig.load(path, overrides)
    except SettingsError as error:
        raise UsageError(str(error)) from None


def read_photos(config: TrainConfig, output: Path) -> PhotoCrops:
    """Reads the faces of the config's photos, which are cut when the run first starts and stored in its folder."""
    path = output / PHOTOS
    if path.exists():
        photos = PhotoCrops.load(path)
    else:
        detection = load_config(None, [f"detector.name={json.dumps(config.photos.detector)}"])
        size, quality = config.start.crop_size, config.photos.min_quality
        photos = cut_photos(config.photos.locations, detection, size, quality)
        photos.save(path)
    log.info("%d faces to learn from without labels, in %s", len(photos), path)
    return photos


def read_face_model(name: str) -> FaceModel:
    """Reads the face model to train on; raises UsageError with one clear line if it is missing or cannot be trained
    on.
    """
    if name == BUNDLED:
        return bundled()
    try:
        model = stored_model(Path(name).expanduser())
        check_trainable(model)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return model


@contextmanager
def render_ahead(config: TrainConfig, workers: int) -> Iterator[Callable[[], bool]]:
    """Renders the shards that training will ask for in `workers` processes of their own; gives a function that tells
    whether one died.
    """
    numbers = [*config.shards, HELD_OUT]
    # The held-out shard is wanted at the first evaluation, after the pool has been filled.
    numbers.insert(min(config.data.pool, len(numbers) - 1), numbers.pop())
    context = multiprocessing.get_context("spawn")
    shared: dict[str, Any] = {
        "rendering": config.rendering,
        "size": config.start.crop_size,
        "face_model": config.start.face_model,
    }
    processes = [
        context.Process(
            target=render_shards, kwargs={"numbers": numbers[first::workers], **shared}, daemon=True
        )
        for first in range(workers)
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
