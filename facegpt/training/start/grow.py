"""A small FaceGPT that looks closer: at crops of twice the size, with all that it has learned."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of

FINE = 12
"""Channels of the new first convolution that see detail, beside two that hand on each input."""
WIDER = 16
"""Channels that join those of the convolution that was the first one, for what is made of the detail."""


def looking_closer(model: FaceGptForConditionalGeneration, seed: int = 0) -> FaceGptForConditionalGeneration:
    """`model` for crops of twice the size, its second look with half as large cells and one more stage in front.

    At first it sees what it saw: the new stage hands on the mean of each two by two cells, and what is new has no
    weight yet in what follows (function-preserving growth: Chen et al. 2016, Net2Net, arXiv 1511.05641).

    Raises TypeError for a model without the small convolutional tower.
    """
    before = trunk_of(model).second_look.state_dict()
    settings: Any = deepcopy(model.config)
    vision = settings.backbone_config.vision_config
    vision.first_look_size = vision.reduced_size
    vision.image_size = settings.crop_size = 2 * settings.crop_size
    vision.unwrapped_detail *= 2
    first, *rest = vision.unwrapped_widths
    inputs = before["0.0.weight"].shape[1]
    vision.unwrapped_widths = [2 * inputs + FINE, first + WIDER, *rest]
    vision.unwrapped_blocks = [1, *vision.unwrapped_blocks]
    torch.manual_seed(seed)
    grown = FaceGptForConditionalGeneration(settings)
    kept = {name: value for name, value in model.state_dict().items() if ".second_look." not in name}
    grown.load_state_dict(kept, strict=False)
    _hand_over(before, trunk_of(grown).second_look.state_dict())
    grown.backbone.model.vision_tower.to(memory_format=torch.channels_last)
    module: nn.Module = grown
    module.train(model.training)
    return grown


@torch.no_grad()
def _hand_over(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    """Gives the second look `after` what `before` has learned, one stage further on."""
    for value in after.values():
        if value.ndim == 4:
            nn.init.kaiming_normal_(value, mode="fan_out", nonlinearity="relu")
    own = before["0.0.weight"]
    outputs, inputs = own.shape[:2]
    mean, entry = after["0.0.weight"], after["1.0.0.weight"]
    mean[: 2 * inputs] = 0
    for channel in range(inputs):
        # A stride of 2 and a padding of 1 put cells 2i and 2i + 1 under the last two of three taps.
        mean[channel, channel, 1:, 1:] = 0.25
        mean[inputs + channel, channel, 1:, 1:] = -0.25
    entry[:outputs] = 0
    # ReLU has parted what is positive from what is negative.
    entry[:outputs, :inputs] = own
    entry[:outputs, inputs : 2 * inputs] = -own
    for name in ("weight", "bias", "running_mean", "running_var"):
        after[f"1.0.1.{name}"][:outputs] = before[f"0.1.{name}"]
    # The residual block that follows changes nothing yet.
    after["1.1.second.1.weight"].zero_()
    for name, value in before.items():
        place, _, rest = name.partition(".")
        if place != "0":
            kept = after[f"{int(place) + 1}.{rest}"]
            kept.zero_()
            kept[tuple(map(slice, value.shape))] = value
