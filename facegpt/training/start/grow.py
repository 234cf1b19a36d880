"""Growth of a trained small FaceGPT to crops of twice the size."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of

FINE = 12
"""Channels of the new first convolution for detail, beside two that pass on each input."""
WIDER = 16
"""Channels that are added to the former first convolution, which works on the detail."""


def grow_model(model: FaceGptForConditionalGeneration, seed: int = 0) -> FaceGptForConditionalGeneration:
    """Grows `model` to crops of twice the size: its second look gets cells half as large and one more stage in front.

    At first its output is the same: the new stage passes on the mean of each two by two cells, and new channels have no
    weight yet in later layers (function-preserving growth: Chen et al. 2016, Net2Net, arXiv 1511.05641).

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
    unchanged = {name: value for name, value in model.state_dict().items() if ".second_look." not in name}
    grown.load_state_dict(unchanged, strict=False)
    _transfer(before, trunk_of(grown).second_look.state_dict())
    grown.backbone.model.vision_tower.to(memory_format=torch.channels_last)
    module: nn.Module = grown
    module.train(model.training)
    return grown


@torch.no_grad()
def _transfer(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    """Copies the weights of the second look `before` into `after`, one stage further on."""
    for value in after.values():
        if value.ndim == 4:
            nn.init.kaiming_normal_(value, mode="fan_out", nonlinearity="relu")
    former = before["0.0.weight"]
    outputs, inputs = former.shape[:2]
    mean, entry = after["0.0.weight"], after["1.0.0.weight"]
    mean[: 2 * inputs] = 0
    for channel in range(inputs):
        # A stride of 2 and a padding of 1 put cells 2i and 2i + 1 under the last two of three taps.
        mean[channel, channel, 1:, 1:] = 0.25
        mean[inputs + channel, channel, 1:, 1:] = -0.25
    entry[:outputs] = 0
    # ReLU has split each input into its positive and its negative part.
    entry[:outputs, :inputs] = former
    entry[:outputs, inputs : 2 * inputs] = -former
    for name in ("weight", "bias", "running_mean", "running_var"):
        after[f"1.0.1.{name}"][:outputs] = before[f"0.1.{name}"]
    # The residual block that follows changes nothing yet.
    after["1.1.second.1.weight"].zero_()
    for name, value in before.items():
        place, _, rest = name.partition(".")
        if place != "0":
            target = after[f"{int(place) + 1}.{rest}"]
            target.zero_()
            target[tuple(map(slice, value.shape))] = value
