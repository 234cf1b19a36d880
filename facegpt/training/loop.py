"""The training loop: rendered faces in, a FaceGPT checkpoint out; resumes at the step where it was stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.processing import FaceProcessor
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.mirror import Mirror
from facegpt.training.config import TrainConfig
from facegpt.training.data.augment import augment, mirrored
from facegpt.training.data.pool import Batch, ShardPool, take
from facegpt.training.data.shard_cache import HELD_OUT, store_of
from facegpt.training.data.writer import Text
from facegpt.training.loss.objectives import Objectives, Terms
from facegpt.training.loss.retention import Retention
from facegpt.training.parallel import average_gradients, check_alike, rank, share_buffers, world
from facegpt.training.photos.crops import PhotoCrops
from facegpt.training.photos.teacher import MeanTeacher
from facegpt.training.stages import Name, Stage, learning_rate, stage_at


class TextWriter(Protocol):
    """The text of a batch, for the step, in the words of its processor: whether there is any is the writer's choice;
    `own` is what the model takes the faces for, where that is known before it speaks.
    """

    @property
    def processor(self) -> FaceProcessor: ...

    def __call__(self, batch: Batch, step: int, own: Theta | None = None) -> Text: ...


Log = Callable[[str], None]


@dataclass
class TrainState:
    """What a run needs to go on exactly: step, weights, their moving average, optimizer."""

    step: int
    model: FaceGptForConditionalGeneration
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; norms and biases are not decayed."""
    learning = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in learning if p.ndim > 1]
    plain = [p for p in learning if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


class Trainer:
    """Trains `model` on the shards of `config`; `writer` turns a batch into token ids."""

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
        if world() != config.workers:
            raise ValueError(f"{config.workers} workers are wanted, and {world()} came")
        torch.manual_seed(config.seed)
        self.config, self.writer, self.log = config, writer, log
        self.face_model, self.failed = face_model, failed
        self.objectives = Objectives(config, face_model)
        self.mirror = Mirror(face_model)
        self.store = store_of(
            config.synthetic_folder, config.shard_faces, config.size, face_model, config.without
        )
        self.pool = ShardPool(config, self.store, face_model, failed, rank())
        module: nn.Module = model
        module.to(config.device)
        # A frozen backbone is neither averaged nor saved: it is many times what its adapters are.
        self.frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
        self.state = TrainState(
            0,
            model,
            {k: v.detach().clone() for k, v in self._state_of(model).items()},
            make_optimizer(model, config),
        )
        self.checkpoint = Path(config.output) / "training.pt"
        if config.photos_steps and not photos:
            raise ValueError("a stage of photos, and no photos")
        self.photos = photos
        self.retention = Retention(model, writer.processor) if config.face_steps else None
        self.teacher = MeanTeacher(config, model, face_model) if config.photos_steps else None

    def resume(self) -> bool:
        """Goes on from the checkpoint in the output folder, if there is one."""
        if not self.checkpoint.exists():
            return False
        saved = torch.load(self.checkpoint, map_location=self.config.device, weights_only=True)
        self._restore(self.state.model, saved["model"])
        self.state.optimizer.load_state_dict(saved["optimizer"])
        self.state.average, self.state.step = saved["average"], saved["step"]
        if self.teacher is not None:
            # A run that had no photos so far stored none: the teacher begins with their stage.
            self.teacher.begin(saved.get("teacher", saved["average"]))
        return True

    def save(self) -> None:
        """Writes the resumable checkpoint, whole or not at all; of several processes, the first one does."""
        if rank():
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        state = self.state
        torch.save(
            {
                "step": state.step,
                "model": self._state_of(state.model),
                "average": state.average,
                "optimizer": state.optimizer.state_dict(),
                "config": json.dumps(asdict(self.config)),
                **({} if self.teacher is None else {"teacher": self.teacher.model.state_dict()}),
            },
            temporary,
        )
        temporary.replace(self.checkpoint)

    def averaged(self) -> FaceGptForConditionalGeneration:
        """A copy of the model with the moving average of its weights, in evaluation mode."""
        copy = deepcopy(self.state.model)
        self._restore(copy, self.state.average)
        module: nn.Module = copy
        module.eval()
        return copy

    def _state_of(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: value for name, value in model.state_dict().items() if name not in self.frozen}

    def _restore(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        left = model.load_state_dict(state, strict=False)
        wrong = [*left.unexpected_keys, *(set(left.missing_keys) - self.frozen)]
        if wrong:
            raise RuntimeError(f"the stored training state is of another model: {wrong[0]} differs")

    def run(self) -> FaceGptForConditionalGeneration:
        """Trains to the last step and returns the averaged model."""
        state, config, started, first = self.state, self.config, time.monotonic(), self.state.step
        seen: dict[str, float] = {}
        for batch in self.pool.batches(state.step):
            if state.step >= config.steps:
                break
            if state.step and state.step == stage_at(config, state.step).first:
                # A stage builds on the average of the one before, which is better than where that one stopped.
                self._restore(state.model, state.average)
                share_buffers(state.model)
                if self.teacher is not None:
                    self.teacher.begin(state.average)
                self.log(f"step {state.step}: {stage_at(config, state.step).name}")
                seen, started, first = {}, time.monotonic(), state.step
            terms = self.step(batch)
            seen = {k: 0.98 * seen.get(k, v) + 0.02 * v for k, v in {**seen, **terms}.items()}
            state.step += 1
            if state.step % 50 == 0 and rank() == 0:
                rate = (state.step - first) * config.batch / (time.monotonic() - started)
                shown = " ".join(f"{k} {v:.4g}" for k, v in seen.items())
                self.log(f"step {state.step}/{config.steps} {rate:.0f} faces/s {shown}")
            if rank() == 0 and (state.step % config.evaluate_every == 0 or state.step == config.steps):
                self.log(f"step {state.step} held out: {json.dumps(self.evaluate())}")
            if state.step % config.save_every == 0 or state.step == config.steps:
                self.save()
        check_alike(state.model.parameters())
        return self.averaged()

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimizer step; returns its loss terms and the norm of the gradient."""
        state, config = self.state, self.config
        stage = stage_at(config, state.step)
        self._prepare(stage)
        generator = torch.Generator().manual_seed(
            config.seed * 1_000_003 + state.step + 7_919_000_003 * rank()
        )
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        batch = mirrored(batch, self.mirror, generator)
        images = augment(batch.images, generator).to(config.device)
        terms = self._terms(stage.name, state.model, batch, images, state.step, generator)
        if stage.name == "photos":
            terms |= self._photos(generator)
        if self.retention is not None:
            terms["retained"] = self.retention.loss(state.model, state.step)
        loss = self.objectives.loss(terms)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} at step {state.step}: lower learning_rate or clip")
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(state.model.parameters())
        terms["gradient"] = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip)
        state.optimizer.step()
        self._follow()
        if stage.name == "photos" and self.teacher is not None:
            self.teacher.follow(state.model)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _prepare(self, stage: Stage) -> None:
        """What learns in a stage, and which batch norms still measure: none for long, their statistics are noise."""
        model, name = self.state.model, stage.name
        module: nn.Module = model
        module.train()
        if name == "face":
            return
        trunk_of(model).train(name in ("points", "trunk")).requires_grad_(name != "language")
        settling = name == "language" and self.state.step - stage.first < self.config.warmup
        model.backbone.model.vision_tower.whiten.train(settling)

    def _terms(
        self,
        stage: Name,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        images: Tensor,
        step: int,
        noise: torch.Generator,
    ) -> Terms:
        match stage:
            case "points":
                return self.objectives.points(model, batch, images)
            case "trunk" | "polish" | "photos":
                return self.objectives.trunk(model, batch, images)
            case "language" | "together":
                seen = self.objectives.look(model, images)
                text = self.writer(batch, step, self.objectives.guessed(model, seen))
                return self.objectives.language(model, batch, images, seen, text, noise, stage == "together")
            case "face":
                text, words = self.writer(batch, step), self.writer.processor
                shown = {**words.image_inputs(images), **words.token_types(text.ids)}
                shown = {name: value.to(self.config.device) for name, value in shown.items()}
                return self.objectives.face(model, batch, shown, text, noise)

    def _photos(self, generator: torch.Generator) -> Terms:
        state, config = self.state, self.config
        if self.teacher is None or self.photos is None:
            raise RuntimeError("a stage of photos without photos")
        rng = np.random.default_rng([config.seed, state.step, *([rank()] if rank() else [])])
        wide = self.photos.draw(config.photo_batch, rng)
        return self.teacher.losses(state.model, wide, config.photo_clean, generator)

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average along; it forgets the start of a stage quickly."""
        state = self.state
        done = state.step - stage_at(self.config, state.step).first
        decay = min(self.config.ema, (1 + done) / (10 + done))
        for key, value in self._state_of(state.model).items():
            kept = state.average[key]
            if value.is_floating_point():
                kept.lerp_(value, 1 - decay)
            else:
                kept.copy_(value)

    @torch.no_grad()
    def evaluate(self, count: int = 1024) -> dict[str, float]:
        """Loss terms of the averaged model on held-out rendered faces, without augmentation; with text, if the writer
        writes any at step 0.
        """
        model = self.averaged()
        faces = self.store.load(self.face_model, HELD_OUT, self.failed)
        stage = stage_at(self.config, self.state.step - 1).name
        sums: dict[str, float] = {}
        parts = torch.arange(min(count, len(faces.images))).split(128)
        noise = torch.Generator().manual_seed(self.config.seed)
        for part in parts:
            batch = take(faces, part.numpy())
            terms = self._terms(stage, model, batch, batch.images.to(self.config.device), 0, noise)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(parts)
        return {name: round(value, 4) for name, value in sums.items()}
