"""The training loop: rendered faces in, a FaceGPT checkpoint out; resumes at the step where it was stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.processing import FaceProcessor
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.mirror import Mirror
from facegpt.training.config import HELD_OUT, TrainConfig
from facegpt.training.data.augment import augment, mirrored
from facegpt.training.data.pool import Batch, ShardPool, take
from facegpt.training.data.shard_cache import store_of
from facegpt.training.data.writer import Text
from facegpt.training.loss.objectives import Objectives, Terms
from facegpt.training.loss.retention import Retention
from facegpt.training.parallel import average_gradients, check_alike, rank, share_buffers, world
from facegpt.training.photos.crops import PhotoCrops
from facegpt.training.photos.teacher import MeanTeacher
from facegpt.training.stages import Stage, StageName, learning_rate, stage_at
from facegpt.training.state import TrainState

LOG_EVERY = 50
EVALUATION_BATCH = 128


class TextWriter(Protocol):
    """A writer of the text of a batch at a step, in the words of its processor; whether there is any is its choice.

    `estimate` is the model's estimate of the faces, where there is one before the text is written.
    """

    @property
    def processor(self) -> FaceProcessor: ...

    def __call__(self, batch: Batch, step: int, estimate: Theta | None = None) -> Text: ...


Log = Callable[[str], None]


class Trainer:
    """A training run of `model` on the shards of `config`; `writer` turns a batch into token ids."""

    def __init__(
        self,
        config: TrainConfig,
        model: FaceGptForConditionalGeneration,
        face_model: FaceModel,
        writer: TextWriter,
        log: Log,
        failed: Callable[[], bool] = lambda: False,
        photos: PhotoCrops | None = None,
    ) -> None:
        if world() != config.compute.workers:
            raise ValueError(f"{config.compute.workers} workers are wanted, and {world()} came")
        if config.stages.photos.steps and not photos:
            raise ValueError("a stage of photos, and no photos")
        torch.manual_seed(config.seed)
        self.config, self.writer, self.log = config, writer, log
        self.face_model, self.failed = face_model, failed
        self.device = torch.device(config.compute.device)
        self.objectives = Objectives(config, face_model)
        self.mirror = Mirror(face_model)
        self.store = store_of(config.rendering, config.start.crop_size, face_model)
        self.pool = ShardPool(config, self.store, face_model, failed, rank())
        self.state = TrainState(model, config)
        self.output = Path(config.output)
        self.photos = photos
        self.retention = Retention(model, writer.processor) if config.stages.face.steps else None
        self.teacher = MeanTeacher(config, model, face_model) if config.stages.photos.steps else None

    def resume(self) -> bool:
        """Goes on from the state in the output folder; returns whether there is one."""
        return self.state.load(self.output, self.teacher)

    def run(self) -> FaceGptForConditionalGeneration:
        """Trains to the last step; returns the averaged model."""
        state, config, progress = self.state, self.config, Progress(self.config, self.state.step)
        for batch in self.pool.batches(state.step):
            if state.step >= config.steps:
                break
            if state.step and state.step == stage_at(config, state.step).first:
                self._begin_stage()
                progress = Progress(config, state.step)
            progress.add(self.step(batch))
            state.step += 1
            if state.step % LOG_EVERY == 0 and rank() == 0:
                self.log(progress.line(state.step))
            saving, last = config.saving, state.step == config.steps
            if rank() == 0 and (state.step % saving.evaluate_every == 0 or last):
                self.log(f"step {state.step} held out: {json.dumps(self.evaluate())}")
            if state.step % saving.save_every == 0 or last:
                state.save(self.output, self.teacher)
        check_alike(state.model.parameters())
        return state.averaged()

    def step(self, batch: Batch) -> dict[str, float]:
        """Makes one optimiser step; returns its loss terms and the norm of the gradient."""
        state, config = self.state, self.config
        stage = stage_at(config, state.step)
        self._set_modes(stage)
        generator = torch.Generator().manual_seed(
            config.seed * 1_000_003 + state.step + 7_919_000_003 * rank()
        )
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        batch = mirrored(batch, self.mirror, generator)
        images = augment(batch.images, generator).to(self.device)
        terms = self._terms(stage.name, state.model, batch, images, generator)
        if stage.name == "photos":
            terms |= self._photo_terms(generator)
        if self.retention is not None:
            terms["retained"] = self.retention.loss(state.model, state.step)
        loss = self.objectives.loss(terms)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} at step {state.step}: lower learning_rate or clip")
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(state.model.parameters())
        terms["gradient"] = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.optimiser.clip)
        state.optimizer.step()
        state.update_average(state.step - stage.first)
        if stage.name == "photos" and self.teacher is not None:
            self.teacher.follow(state.model)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _begin_stage(self) -> None:
        """Continues from the average of the stage before, which is better than where that one stopped."""
        state = self.state
        state.continue_from_average()
        share_buffers(state.model)
        if self.teacher is not None:
            self.teacher.begin(state.average)
        self.log(f"step {state.step}: {stage_at(self.config, state.step).name}")

    def _set_modes(self, stage: Stage) -> None:
        """Sets what learns in a stage, and which batch norms still measure: none for long, their statistics are
        noise.
        """
        model, name = self.state.model, stage.name
        module: nn.Module = model
        module.train()
        if name == "face":
            return
        trunk_of(model).train(name in ("points", "trunk")).requires_grad_(name != "language")
        settling = name == "language" and self.state.step - stage.first < self.config.optimiser.warmup
        model.backbone.model.vision_tower.whiten.train(settling)

    def _terms(
        self,
        stage: StageName,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        images: Tensor,
        noise: torch.Generator,
        step: int | None = None,
    ) -> Terms:
        """Computes the loss terms of a batch in a stage, with the text of `step` (default: the current one)."""
        step = self.state.step if step is None else step
        match stage:
            case "points":
                return self.objectives.points(model, batch, images)
            case "trunk" | "polish" | "photos":
                return self.objectives.trunk(model, batch, images)
            case "language" | "together":
                features = self.objectives.features(model, images)
                text = self.writer(batch, step, self.objectives.estimate(model, features))
                return self.objectives.language(
                    model,
                    batch,
                    images,
                    features=features,
                    text=text,
                    noise=noise,
                    together=stage == "together",
                )
            case "face":
                text, words = self.writer(batch, step), self.writer.processor
                inputs = {**words.image_inputs(images), **words.token_types(text.ids)}
                inputs = {name: value.to(self.device) for name, value in inputs.items()}
                return self.objectives.face(model, batch, inputs, text, noise)

    def _photo_terms(self, generator: torch.Generator) -> Terms:
        state, config = self.state, self.config
        if self.teacher is None or self.photos is None:
            raise RuntimeError("a stage of photos without photos")
        rng = np.random.default_rng([config.seed, state.step, *([rank()] if rank() else [])])
        wide = self.photos.draw(config.photos.batch, rng)
        return self.teacher.losses(state.model, wide, config.photos.clean, generator)

    @torch.no_grad()
    def evaluate(self, count: int = 1024) -> dict[str, float]:
        """Measures the loss terms of the averaged model on held-out rendered faces, without augmentation; with text, if
        the writer writes any at step 0.
        """
        model = self.state.averaged()
        faces = self.store.load(self.face_model, HELD_OUT, self.failed)
        stage = stage_at(self.config, self.state.step - 1).name
        sums: dict[str, float] = {}
        parts = torch.arange(min(count, len(faces.images))).split(EVALUATION_BATCH)
        noise = torch.Generator().manual_seed(self.config.seed)
        for part in parts:
            batch = take(faces, part.numpy())
            terms = self._terms(stage, model, batch, batch.images.to(self.device), noise, step=0)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(parts)
        return {name: round(value, 4) for name, value in sums.items()}


class Progress:
    """Smoothed loss terms and the rate of a stage since the run, or the stage, began at step `first`."""

    def __init__(self, config: TrainConfig, first: int) -> None:
        self.config, self.first, self.started = config, first, time.monotonic()
        self.smoothed: dict[str, float] = {}

    def add(self, terms: dict[str, float]) -> None:
        """Takes in the terms of a step; a term that the step does not have keeps its value."""
        merged = {**self.smoothed, **terms}
        self.smoothed = {name: 0.98 * self.smoothed.get(name, v) + 0.02 * v for name, v in merged.items()}

    def line(self, step: int) -> str:
        """Writes a line of the log."""
        rate = (step - self.first) * self.config.data.batch / (time.monotonic() - self.started)
        shown = " ".join(f"{name} {value:.4g}" for name, value in self.smoothed.items())
        return f"step {step}/{self.config.steps} {rate:.0f} faces/s {shown}"
