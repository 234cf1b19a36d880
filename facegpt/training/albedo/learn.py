"""A face model with albedo modes learned from photos and a checkpoint's reconstructions of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.face_area import Skin
from facegpt.training.albedo.modes import Modes, symmetric_modes, with_modes
from facegpt.training.albedo.reading import Readings, read_albedo
from facegpt.training.start.anchors import set_albedo

ROUNDS = 3
"""Rounds of reading, each with the modes of the one before, which make it easier to tell light from albedo."""
BATCH = 32
ALBEDO_SIDE = 80
"""Cells to a side, of about 2 mm, of the albedo fit of a checkpoint."""


def learn_albedo(
    model: FaceModel, theta: Theta, pixels: Tensor, count: int, keep: int, name: str
) -> tuple[FaceModel, Modes]:
    """Learns `count` albedo modes from photos; returns `model` with the first `keep` of its albedo modes and these,
    called `name`, and the learned modes. No photo's coefficients stay in it.

    Args:
        theta: reconstructions of N faces in `model`.
        pixels: (N,3,H,H) sRGB in 0..1, their crops.

    Raises:
        ValueError: fewer faces than modes, or a model whose albedo cannot learn so (see `Skin`, `with_modes`).
    """
    if not 0 <= keep <= model.n_albedo:
        raise ValueError(
            f"face model {model.id} has {model.n_albedo} albedo modes: {keep} of them cannot be kept"
        )
    if not len(model.albedo_examples):
        raise ValueError(f"face model {model.id} has no examples of albedo")
    skin = Skin(model)

    def read_and_learn(previous: Modes | None) -> Modes:
        parts = [
            read_albedo(model, skin, theta[part], pixels[part], previous)
            for part in (slice(first, first + BATCH) for first in range(0, len(pixels), BATCH))
        ]
        readings = Readings.concatenate(parts)
        return symmetric_modes(readings.excess, readings.visible, skin, count)

    learned = read_and_learn(None)
    for _ in range(ROUNDS - 1):
        learned = read_and_learn(learned)
    return with_modes(model, skin, learned, keep, name), learned


@torch.no_grad()
def carry_over(
    model: FaceGptForConditionalGeneration, before: FaceModel, after: FaceModel, keep: int
) -> FaceGptForConditionalGeneration:
    """Copies `model`, trained on `before`, for `after`, which has `keep` of its albedo modes and others behind them:
    those are estimated by a fit in closed form (`AlbedoFit`) until the copy is trained.

    Raises ValueError if shape, expression or the number of albedo modes differ; TypeError for a model without the small
    tower.
    """
    for what in ("n_shape", "n_expression", "n_albedo"):
        if getattr(before, what) != getattr(after, what):
            raise ValueError(f"{before.id} and {after.id} differ in {what}")
    trunk_of(model)
    settings: Any = deepcopy(model.config)
    settings.face_model_id, settings.face_model_sha256 = after.id, after.sha256
    vision = settings.backbone_config.vision_config
    vision.n_albedo, vision.albedo_side = after.n_albedo, min(ALBEDO_SIDE, vision.unwrapped_side)
    carried = FaceGptForConditionalGeneration(settings)
    trunk = trunk_of(carried)
    state = {name: value for name, value in model.state_dict().items() if ".trunk.albedo." not in name}
    summary = next(name for name in state if name.endswith("trunk.summary.weight"))
    width = state[summary].shape[1] - (0 if trunk_of(model).albedo is None else after.n_albedo)
    state[summary] = nn.functional.pad(state[summary][:, :width], (0, after.n_albedo))
    carried.load_state_dict(state, strict=False)
    if trunk.albedo is None:
        raise RuntimeError("a carried model has no fit of albedo")
    set_albedo(trunk, after)
    trunk.albedo.gain.copy_(torch.arange(after.n_albedo) >= keep)
    first = before.n_shape + before.n_expression
    new = slice(first + keep, first + before.n_albedo)
    for layer in (trunk.guess, carried.face_head.output):
        layer.weight[new], layer.bias[new] = 0, 0
    tower = carried.backbone.model.vision_tower
    tower.tokens.weight[:, trunk.summary.out_features :][:, new] = 0
    tower.to(memory_format=torch.channels_last)
    module: nn.Module = carried
    module.train(model.training)
    return carried
