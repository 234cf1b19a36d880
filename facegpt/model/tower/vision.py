"""A small convolutional vision tower that stands where a ViT stands in any LLaVA: it learns faster on few computers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from facegpt.model.tower.config import ConvVisionConfig
from facegpt.model.tower.trunk import FaceTrunk, Seen


class ConvVisionModel(PreTrainedModel):
    """Pictures (B,3,W,W) in 0..1 to image tokens (B,K,hidden): a linear view of what `FaceTrunk` sees."""

    config_class = ConvVisionConfig
    base_model_prefix = "vision"
    main_input_name = "pixel_values"

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        self.trunk = FaceTrunk(config)
        features = config.num_tokens * config.hidden_size
        self.tokens = nn.Linear(config.summary_width + config.n_guess, features, bias=False)
        # Without it the language model sees almost the same tokens for every face, and learns several times more
        # slowly.
        self.whiten = nn.BatchNorm1d(features)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, pixel_values: Tensor, return_dict: bool = True, seen: Seen | None = None, **_: Any
    ) -> BaseModelOutputWithPooling:
        """The tokens; `seen` is what the trunk sees in the pictures, if it has looked already."""
        if seen is None:
            seen = self.trunk(pixel_values)
        tokens = self.whiten(self.tokens(torch.cat([seen.summary, seen.guess], 1)))
        tokens = tokens.unflatten(1, (self.config.num_tokens, self.config.hidden_size))
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(1), hidden_states=(tokens,)
        )


AutoConfig.register(ConvVisionConfig.model_type, ConvVisionConfig, exist_ok=True)
AutoModel.register(ConvVisionConfig, ConvVisionModel, exist_ok=True)
