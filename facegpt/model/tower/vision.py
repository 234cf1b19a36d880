"""The small convolutional vision tower, which takes the place of the ViT of a LLaVA and learns with less computing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from facegpt.model.tower.config import ConvVisionConfig
from facegpt.model.tower.trunk import FaceTrunk, TrunkOutput


class ConvVisionModel(PreTrainedModel):
    """The tower from pictures (B,3,W,W) in 0..1 to image tokens (B,K,hidden): a linear map of the trunk's output."""

    config_class = ConvVisionConfig
    base_model_prefix = "vision"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        self.trunk = FaceTrunk(config)
        features = config.num_tokens * config.hidden_size
        self.tokens = nn.Linear(config.summary_width + config.n_guess, features, bias=False)
        # Without it, tokens of all faces are almost equal, and the language model learns several times more slowly.
        self.whiten = nn.BatchNorm1d(features)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        pixel_values: Tensor,
        return_dict: bool = True,
        trunk_output: TrunkOutput | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """Computes the tokens; `trunk_output` is that of these pictures, if the trunk has been run already."""
        if trunk_output is None:
            trunk_output = self.trunk(pixel_values)
        tokens = self.whiten(self.tokens(torch.cat([trunk_output.summary, trunk_output.guess], 1)))
        tokens = tokens.unflatten(1, (self.config.num_tokens, self.config.hidden_size))
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,)
        )


AutoConfig.register(ConvVisionConfig.model_type, ConvVisionConfig, exist_ok=True)
AutoModel.register(ConvVisionConfig, ConvVisionModel, exist_ok=True)
