"""The training loop: rendered faces in, a FaceGPT checkpoint out; resumes at the step where it was stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, FaceGptOutput
from facegpt.morphable import FaceModel, Theta
from facegpt.training.anchors import anchor_points, points_loss
from facegpt.training.augment import augment
from facegpt.training.config import TrainConfig
from facegpt.training.losses import theta_losses, total
from facegpt.training.points import LossPoints
from facegpt.training.pool import Batch, ShardPool, take
from facegpt.training.synthetic.shards import HELD_OUT, ShardStore

# Token ids (input_ids, attention_mask, labels) of a batch, for the step: whether it carries text is the
# writer's choice.
TextWriter = Callable[[Batch, int], tuple[Tensor, Tensor, Tensor | None]]
Log = Callable[[str], None]


@dataclass
class TrainState:
    """What a run needs to go on exactly: step, weights, their moving average, optimizer."""

    step: int
    model: FaceGptForConditionalGeneration
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to `final_learning_rate`: once for the points, once for everything."""
    first, last, peak = config.points_steps, config.steps, config.learning_rate
    if step < config.points_steps:
        first, last, peak = 0, config.points_steps, config.points_learning_rate
    if step < first + config.warmup:
        return peak * (step - first + 1) / config.warmup
    progress = min(1.0, (step - first - config.warmup) / max(1, last - first - config.warmup))
    span = peak - config.final_learning_rate
    return config.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; norms and biases are not decayed."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
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
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.writer, self.log = config, writer, log
        self.face_model, self.failed = face_model, failed
        self.points = LossPoints(face_model).to(config.device)
        self.store = ShardStore(Path(config.synthetic_folder), config.shard_faces, config.size)
        self.pool = ShardPool(config, self.store, face_model, failed)
        module: nn.Module = model
        module.to(config.device)
        self.state = TrainState(
            0,
            model,
            {k: v.detach().clone() for k, v in model.state_dict().items()},
            make_optimizer(model, config),
        )
        self.checkpoint = Path(config.output) / "training.pt"

    def resume(self) -> bool:
        """Goes on from the checkpoint in the output folder, if there is one."""
        if not self.checkpoint.exists():
            return False
        saved = torch.load(self.checkpoint, map_location=self.config.device, weights_only=True)
        self.state.model.load_state_dict(saved["model"])
        self.state.optimizer.load_state_dict(saved["optimizer"])
        self.state.average, self.state.step = saved["average"], saved["step"]
        return True

    def save(self) -> None:
        """Writes the resumable checkpoint, whole or not at all."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        state = self.state
        torch.save(
            {
                "step": state.step,
                "model": state.model.state_dict(),
                "average": state.average,
                "optimizer": state.optimizer.state_dict(),
                "config": json.dumps(asdict(self.config)),
            },
            temporary,
        )
        temporary.replace(self.checkpoint)

    def averaged(self) -> FaceGptForConditionalGeneration:
        """A copy of the model with the moving average of its weights, in evaluation mode."""
        copy = deepcopy(self.state.model)
        copy.load_state_dict(self.state.average)
        module: nn.Module = copy
        module.eval()
        return copy

    def run(self) -> FaceGptForConditionalGeneration:
        """Trains to the last step and returns the averaged model."""
        state, config, started, first = self.state, self.config, time.monotonic(), self.state.step
        seen: dict[str, float] = {}
        for batch in self.pool.batches(state.step):
            if state.step >= config.steps:
                break
            terms = self.step(batch)
            seen = {k: 0.98 * seen.get(k, v) + 0.02 * v for k, v in terms.items()}
            state.step += 1
            if state.step % 50 == 0:
                rate = (state.step - first) * config.batch / (time.monotonic() - started)
                shown = " ".join(f"{k} {v:.4g}" for k, v in seen.items())
                self.log(f"step {state.step}/{config.steps} {rate:.0f} faces/s {shown}")
            if state.step % config.evaluate_every == 0 or state.step == config.steps:
                self.log(f"step {state.step} held out: {json.dumps(self.evaluate())}")
            if state.step % config.save_every == 0 or state.step == config.steps:
                self.save()
        return self.averaged()

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimizer step; returns its loss terms."""
        state, config = self.state, self.config
        state.model.train()
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        images = augment(batch.images, generator).to(config.device)
        if state.step < config.points_steps:
            loss, terms = self._points(state.model, batch, images)
            return self._update(loss, terms)
        ids, attention, labels = self.writer(batch, state.step)
        output, terms, nme = self._losses(state.model, batch, ids, attention, labels, images)
        loss = total(terms, config.weights)
        if output.log_error is None:
            raise RuntimeError("a training batch without a <FACE> token")
        own = nme.detach().clamp(0.3, 60).log()
        terms["log_error"] = (output.log_error - own).abs().mean()
        loss = loss + config.weights.log_error * terms["log_error"]
        if output.loss is not None:
            terms["text"] = output.loss
            loss = loss + config.text_weight * output.loss
        terms["nme"] = nme.mean()
        return self._update(loss, terms)

    def _update(self, loss: Tensor, terms: dict[str, Tensor]) -> dict[str, float]:
        """Descends `loss`, moves the average along; returns the terms as numbers."""
        state, config = self.state, self.config
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {float(loss)} at step {state.step}: lower learning_rate or clip")
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        terms["gradient"] = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip)
        state.optimizer.step()
        with torch.no_grad():
            decay = min(config.ema, (1 + state.step) / (10 + state.step))
            for key, value in state.model.state_dict().items():
                kept = state.average[key]
                if value.is_floating_point():
                    kept.lerp_(value, 1 - decay)
                else:
                    kept.copy_(value)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _points(
        self, model: FaceGptForConditionalGeneration, batch: Batch, images: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the points alone, with their mean error in px as a term."""
        tower, device = model.backbone.model.vision_tower, torch.device(self.config.device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.bfloat16):
            _, points, spread = tower.locate(images)
        true = anchor_points(tower.fit, batch.theta.to(device), batch.perspective.to(device))
        loss = points_loss(points, spread, true)
        inside = (true.abs() < 0.5).all(-1)
        return loss, {
            "points": loss,
            "points_px": (points - true).norm(dim=-1)[inside].mean() * self.config.size,
        }

    def _losses(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        ids: Tensor,
        attention: Tensor,
        labels: Tensor | None,
        images: Tensor,
    ) -> tuple[FaceGptOutput, dict[str, Tensor], Tensor]:
        device = self.config.device
        tower = model.backbone.model.vision_tower
        # LLaVA's forward pass has no place for what the tower knows beside its tokens.
        found: list[tuple[Tensor, Tensor]] = []
        listening = tower.points.register_forward_hook(lambda *call: found.append(call[2]))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.config.bfloat16):
            output = model(
                input_ids=ids.to(device),
                attention_mask=attention.to(device),
                pixel_values=images,
                labels=None if labels is None else labels.to(device),
            )
        listening.remove()
        f = self.face_model
        predicted = Theta.split(output.theta, f.n_shape, f.n_expression, f.n_albedo)
        true = batch.theta.to(device)
        terms, nme = theta_losses(
            predicted, true, batch.landmarks2d.to(device), self.points, self.config.size
        )
        places = anchor_points(tower.fit, true, batch.perspective.to(device))
        terms["points"] = points_loss(*found[0], places)
        return output, terms, nme

    @torch.no_grad()
    def evaluate(self, count: int = 1024) -> dict[str, Any]:
        """Loss terms of the averaged model on held-out rendered faces, without augmentation."""
        model = self.averaged()
        faces = self.store.load(self.face_model, HELD_OUT, self.failed)
        sums: dict[str, float] = {}
        parts = range(0, min(count, len(faces.images)), 128)
        for start in parts:
            batch = take(faces, torch.arange(start, start + 128).numpy())
            images = batch.images.to(self.config.device)
            terms = self._points(model, batch, images)[1]
            if self.state.step > self.config.points_steps:
                ids, attention, _ = self.writer(batch, 1)
                _, others, nme = self._losses(model, batch, ids, attention, None, images)
                terms = {**terms, **others, "nme": nme.mean()}
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(parts)
        return {name: round(value, 4) for name, value in sums.items()}
