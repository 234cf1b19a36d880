"""A small convolutional vision tower that stands where a ViT stands in any LLaVA: it learns faster on few computers."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from facegpt.model.fit import PointFit
from facegpt.model.points import PointMaps, colours_at, convolution


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
    point_width: int = 64
    num_points: int = 192
    n_shape: int = 80
    n_expression: int = 52

    @property
    def final_side(self) -> int:
        """Side of the last feature map: every stage and the stem halve the picture, rounding up."""
        side = self.image_size
        for _ in self.widths:
            side = -(-side // 2)
        return side


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class ConvVisionModel(PreTrainedModel):
    """Pictures (B,3,W,W) in 0..1 to image tokens (B,K,hidden).

    Each picture is standardised by its own mean and deviation for the convolutions. One linear layer reads the tokens
    off four things: the last feature map, flattened, not pooled, to keep the whereabouts of things; the face model
    fitted to points that the net finds (`PointMaps`, `PointFit`), without which shape, whose traces are a hundredth of
    those of pose, is learned too slowly to be seen; the picture's colours at those points; and the means and
    deviations that the standardising took away, since light and albedo are about them.
    """

    config_class = ConvVisionConfig
    base_model_prefix = "vision"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        self.stem = convolution(config.num_channels, config.widths[0], 2)
        stages, width = [], config.widths[0]
        for following, blocks in zip(config.widths[1:], config.blocks, strict=True):
            residuals = [_Residual(following) for _ in range(blocks)]
            stages.append(nn.Sequential(convolution(width, following, 2), *residuals))
            width = following
        self.stages = nn.ModuleList(stages)
        self.reduce = nn.Sequential(
            nn.Conv2d(width, config.reduced_width, 1, bias=False),
            nn.BatchNorm2d(config.reduced_width),
            nn.ReLU(inplace=True),
        )
        self.points = PointMaps(config.widths[1:], config.point_width, config.num_points)
        self.fit = PointFit(config.num_points, config.n_shape, config.n_expression)
        measured = self.fit.n_features + 6 * config.num_points
        self.standardise = nn.BatchNorm1d(measured, affine=False)
        seen = config.reduced_width * config.final_side**2 + 2 * config.num_channels
        features = config.num_tokens * config.hidden_size
        self.tokens = nn.Linear(seen + measured, features, bias=False)
        # What all pictures have in common outweighs what tells them apart at first; the batch norm takes it away,
        # without which the language model sees almost the same tokens for every face and learns several times more
        # slowly.
        self.whiten = nn.BatchNorm1d(features)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, return_dict: bool = True, **_: Any) -> BaseModelOutputWithPooling:
        exposure = torch.cat([4 * pixel_values.mean((2, 3)) - 2, 8 * pixel_values.std((2, 3)) - 2], 1)
        last, points, spread = self.locate(pixel_values)
        # What the fit makes of the points does not teach the net to find them: their places do.
        points, spread = points.detach(), spread.detach()
        colours = colours_at(pixel_values, points)
        measured = [self.fit(points, spread), points.flatten(1), spread.log(), colours.flatten(1)]
        measured = self.standardise(torch.cat(measured, 1)).clamp(-5, 5)
        seen = torch.cat([self.reduce(last).flatten(1), exposure, measured], 1)
        tokens = self.whiten(self.tokens(seen)).unflatten(
            1, (self.config.num_tokens, self.config.hidden_size)
        )
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,)
        )

    def locate(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last feature map (B,C,S,S) of pictures, and points (B,K,2) and spreads (B,K) as `PointMaps` gives
        them.
        """
        mean = pixel_values.mean((1, 2, 3), keepdim=True)
        deviation = pixel_values.std((1, 2, 3), keepdim=True)
        x = ((pixel_values - mean) / (deviation + 0.05)).contiguous(memory_format=torch.channels_last)
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        points, spread = self.points(maps)
        return x, points, spread


AutoConfig.register(ConvVisionConfig.model_type, ConvVisionConfig, exist_ok=True)
AutoModel.register(ConvVisionConfig, ConvVisionModel, exist_ok=True)
