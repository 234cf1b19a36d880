"""The state with which a training run goes on exactly: step, weights, their moving average and the optimiser."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.training.config import TrainConfig
from facegpt.training.parallel import rank
from facegpt.training.photos.teacher import MeanTeacher

STATE_FILE = "training.pt"


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Makes an AdamW that does not decay norms and biases; the loop sets its learning rate at each step."""
    learning = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.optimiser.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


class TrainState:
    """The state of a run at a step: the model, the moving average of its weights, the optimiser.

    Weights that are frozen when a run starts, those of a backbone under adapters, are neither averaged nor stored: they
    are many times what the adapters are.
    """

    def __init__(self, model: FaceGptForConditionalGeneration, config: TrainConfig) -> None:
        module: nn.Module = model
        module.to(config.compute.device)
        self.step, self.model, self.config = 0, model, config
        self.frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
        self.average = {name: value.detach().clone() for name, value in self._trained(model).items()}
        self.optimizer = make_optimizer(model, config)

    def continue_from_average(self) -> None:
        """Gives the model the averaged weights."""
        self._restore(self.model, self.average)

    def averaged(self) -> FaceGptForConditionalGeneration:
        """Copies the model with the averaged weights, in evaluation mode."""
        copy = deepcopy(self.model)
        self._restore(copy, self.average)
        module: nn.Module = copy
        module.eval()
        return copy

    @torch.no_grad()
    def update_average(self, steps_in_stage: int) -> None:
        """Moves the average towards the model; it forgets the start of a stage quickly."""
        decay = min(self.config.optimiser.ema, (1 + steps_in_stage) / (10 + steps_in_stage))
        for name, value in self._trained(self.model).items():
            average = self.average[name]
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def save(self, folder: Path, teacher: MeanTeacher | None) -> None:
        """Writes the state to `folder`, whole or not at all; of several processes, the first one does."""
        if rank():
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / STATE_FILE
        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "step": self.step,
                "model": self._trained(self.model),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "config": json.dumps(self.config.model_dump(mode="json")),
                **({} if teacher is None else {"teacher": teacher.model.state_dict()}),
            },
            temporary,
        )
        temporary.replace(path)

    def load(self, folder: Path, teacher: MeanTeacher | None) -> bool:
        """Reads the state that was saved to `folder`; returns whether there was one.

        Raises RuntimeError for the state of another model.
        """
        path = folder / STATE_FILE
        if not path.exists():
            return False
        stored: dict[str, Any] = torch.load(path, map_location=self.config.compute.device, weights_only=True)
        self._restore(self.model, stored["model"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.average, self.step = stored["average"], stored["step"]
        if teacher is not None:
            # A run that had no photos so far stored none: the teacher begins with their stage.
            teacher.begin(stored.get("teacher", stored["average"]))
        return True

    def _trained(self, model: nn.Module) -> dict[str, Tensor]:
        """Returns the weights and buffers that are not frozen, by name."""
        return {name: value for name, value in model.state_dict().items() if name not in self.frozen}

    def _restore(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        result = model.load_state_dict(weights, strict=False)
        differing = [*result.unexpected_keys, *(set(result.missing_keys) - self.frozen)]
        if differing:
            raise RuntimeError(f"the stored training state is of another model: {differing[0]} differs")
