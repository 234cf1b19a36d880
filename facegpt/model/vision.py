"""A small convolutional vision tower that stands where a ViT stands in any LLaVA: it learns faster on few computers."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


class ConvVisionConfig(PreTrainedConfig):
    """Shape of `ConvVisionModel`: widths and residual blocks per stage, and the image tokens it gives."""

    model_type = "facegpt_conv_vision"

    image_size: int = 112
    num_channels: int = 3
    widths: list[int] = field(default_factory=lambda: [24, 48, 96, 192, 320])
    blocks: list[int] = field(default_factory=lambda: [1, 1, 2, 1])
    reduced_width: int = 160
    num_tokens: int = 8
    hidden_size: int = 256

    @property
    def final_side(self) -> int:
        """Side of the last feature map: every stage and the stem halve the picture, rounding up."""
        side = self.image_size
        for _ in self.widths:
            side = -(-side // 2)
        return side


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class ConvVisionModel(PreTrainedModel):
    """Pictures (B,3,W,W) in 0..1 to image tokens (B,K,hidden).

    Each picture is standardised by its own mean and deviation for the convolutions; means and deviations of its
    channels join the features again behind them, since light and albedo are about them. The last feature map is
    flattened, not pooled: a linear layer reads the tokens off all places at once, which keeps the whereabouts of
    things that landmarks and pose need.
    """

    config_class = ConvVisionConfig
    base_model_prefix = "vision"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = [_convolution(config.num_channels, config.widths[0], 2)]
        width = config.widths[0]
        for following, blocks in zip(config.widths[1:], config.blocks, strict=True):
            layers.append(_convolution(width, following, 2))
            layers += [_Residual(following) for _ in range(blocks)]
            width = following
        self.stages = nn.Sequential(*layers)
        self.reduce = nn.Sequential(
            nn.Conv2d(width, config.reduced_width, 1, bias=False),
            nn.BatchNorm2d(config.reduced_width),
            nn.ReLU(inplace=True),
        )
        places, features = config.final_side**2, config.num_tokens * config.hidden_size
        self.tokens = nn.Linear(config.reduced_width * places + 2 * config.num_channels, features, bias=False)
        # What all pictures have in common outweighs what tells them apart at first; the batch norm takes it
        # away, without
        # which the language model sees almost the same tokens for every face and learns several times more slowly.
        self.whiten = nn.BatchNorm1d(features)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, return_dict: bool = True, **_: Any) -> BaseModelOutputWithPooling:
        mean = pixel_values.mean((1, 2, 3), keepdim=True)
        deviation = pixel_values.std((1, 2, 3), keepdim=True)
        exposure = torch.cat([4 * pixel_values.mean((2, 3)) - 2, 8 * pixel_values.std((2, 3)) - 2], 1)
        x = ((pixel_values - mean) / (deviation + 0.05)).contiguous(memory_format=torch.channels_last)
        x = torch.cat([self.reduce(self.stages(x)).flatten(1), exposure], 1)
        tokens = self.whiten(self.tokens(x)).unflatten(1, (self.config.num_tokens, self.config.hidden_size))
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,)
        )


AutoConfig.register(ConvVisionConfig.model_type, ConvVisionConfig, exist_ok=True)
AutoModel.register(ConvVisionConfig, ConvVisionModel, exist_ok=True)
