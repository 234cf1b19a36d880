"""FaceGPT (arXiv 2406.07163): a vision-language model whose <FACE> token's last hidden state is projected to theta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from facegpt.model.configuration import FaceGptConfig
from facegpt.model.tower import vision as _vision  # noqa: F401  registers the small tower with transformers
from facegpt.model.tower.trunk import FaceTrunk, TrunkOutput
from facegpt.morphable import Theta


@dataclass
class FaceGptOutput(ModelOutput):
    """The output of a forward pass: text `loss` and `logits`, `theta` (R,N) and `log_error` (R,) of the R rows
    with a <FACE>.

    `face_rows` (R,) int64 says which rows of the batch those are. `log_error` estimates the logarithm of the
    landmark error in per cent of the eye distance. `past_key_values` continues the decoding.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    theta: Tensor | None = None
    log_error: Tensor | None = None
    face_rows: Tensor | None = None
    past_key_values: Any = None


class FaceHead(nn.Module):
    """The MLP (sigma in the paper) from the <FACE> token's hidden state (R,D) to theta (R,N) and log error (R,)."""

    lighting_mean: Tensor
    translation_mean: Tensor
    translation_scale: Tensor

    def __init__(self, config: FaceGptConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, config.head_hidden_size)
        self.dropout = nn.Dropout(config.head_dropout)
        self.output = nn.Linear(config.head_hidden_size, config.n_theta + 1)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.scaled(self.output(self.dropout(nn.functional.gelu(self.hidden(self.norm(hidden))))))

    def scaled(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Scales z (R,N+1), whose blocks have about unit scale, to theta (R,N) and log error (R,)."""
        c, z = self.config, z.float()
        sizes = [c.n_shape, c.n_expression, c.n_albedo, 27, 3, 3, 1]
        shape, expression, albedo, lighting, rotation, translation, log_error = z.split(sizes, -1)
        mean_light = z.new_tensor(c.lighting_mean).repeat_interleave(3)
        theta = Theta(
            shape=shape,
            expression=torch.sigmoid(expression + c.expression_bias),
            albedo=albedo,
            lighting=mean_light + c.lighting_scale * lighting,
            rotation_vector=c.rotation_scale * rotation,
            translation=z.new_tensor(c.translation_mean) + translation * z.new_tensor(c.translation_scale),
        )
        return theta.flat(), log_error.squeeze(-1)


class FaceGptForConditionalGeneration(PreTrainedModel):
    """An image-text-to-text model of any family with a <FACE> token and a face head."""

    config_class = FaceGptConfig
    base_model_prefix = "facegpt"
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True
    # It is a thousandth of the weights, and what it gives are coordinates, not words.
    _keep_in_fp32_modules_strict = {"face_head"}  # noqa: RUF012  an instance variable of its base

    drops_rows_at = 0.5
    """The share of a batch that is left when rows that have ended leave the cache: cutting it copies all of it."""

    def __init__(self, config: FaceGptConfig) -> None:
        super().__init__(config)
        if not isinstance(config.backbone_config, PreTrainedConfig):
            raise ValueError("FaceGptConfig has no backbone_config")
        self.backbone = AutoModelForImageTextToText.from_config(config.backbone_config)
        width = config.backbone_config.get_text_config().hidden_size
        self.face_head = FaceHead(config, width)
        if config.noise_size:
            self.imagination = nn.Linear(config.noise_size, width, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def _tied_weights_keys(self) -> dict[str, str]:  # type: ignore[override]
        inner = getattr(self.backbone, "_tied_weights_keys", None) or {} if hasattr(self, "backbone") else {}
        return {f"backbone.{key}": f"backbone.{value}" for key, value in inner.items()}

    def get_input_embeddings(self) -> nn.Module:
        module: nn.Module = self.backbone.get_input_embeddings()
        return module

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        label_weights: Tensor | None = None,
        noise: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        trunk_output: TrunkOutput | None = None,
        **inputs: Any,
    ) -> FaceGptOutput:
        """Runs the backbone over `input_ids` (B,L); the first <FACE> of a row, if it has one, gives the row's theta.

        `labels` (B,L) are token ids with -100 where text is not scored; `label_weights` (B,L), 1 without, says how much
        each counts in the mean. `pixel_values` and other image inputs are those of the backbone's own processor;
        `trunk_output` is what `run_trunk` gave for them, if it has been called already. `noise` (B,`noise_size`),
        normally distributed, makes of a description without an image one of the faces that fit it.

        Raises:
            ValueError: noise for a model that cannot imagine.
        """
        if pixel_values is not None:
            pixel_values = pixel_values.to(self.backbone.dtype)
            if trunk_output is None and self.config.face_sees_image:
                trunk_output = self.run_trunk(pixel_values)
        core = self.backbone.model(
            **self._sequence(input_ids, pixel_values, noise, trunk_output),
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **inputs,
        )
        hidden = core.last_hidden_state
        is_face = input_ids == self.config.face_token_id
        rows = is_face.any(1).nonzero()[:, 0]
        theta = log_error = None
        if len(rows):
            positions = is_face.int().argmax(1)[rows]
            theta, log_error = self.face_of(hidden[rows, positions], rows, trunk_output)
        logits = loss = None
        if labels is not None:
            logits, loss = self._scored_text(hidden, labels, label_weights)
        elif use_cache:
            logits = self.backbone.lm_head(hidden[:, -1:])
        return FaceGptOutput(
            loss=loss,
            logits=logits,
            theta=theta,
            log_error=log_error,
            face_rows=rows,
            past_key_values=core.past_key_values if use_cache else None,
        )

    def face_of(
        self, hidden: Tensor, rows: Tensor, trunk_output: TrunkOutput | None
    ) -> tuple[Tensor, Tensor]:
        """Computes theta (R,N) and log error (R,) of the states (R,D) of <FACE> in `rows` (R,) of the batch that
        `trunk_output` is of.
        """
        theta, log_error = self.face_head(hidden.to(self.face_head.norm.weight.dtype))
        if trunk_output is not None and trunk_output.fitted_albedo is not None:
            # A hidden state holds less of the fine detail of albedo than the fit to the picture finds.
            trunk = self.backbone.model.vision_tower.trunk
            theta = trunk.with_fitted_albedo(theta, trunk_output.fitted_albedo[rows])
        return theta, log_error

    def _sequence(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        noise: Tensor | None,
        trunk_output: TrunkOutput | None,
    ) -> dict[str, Tensor | None]:
        """Makes the backbone's inputs for the sequence: ids and pictures, or embeddings with <FACE> in place."""
        if self.config.face_sees_image and pixel_values is not None:
            return {"inputs_embeds": self.embed(input_ids, pixel_values, trunk_output)}
        if noise is None:
            return {"input_ids": input_ids, "pixel_values": pixel_values}
        # Qwen's models would place words without ids by the picture of the call before.
        if getattr(self.backbone.model, "rope_deltas", None) is not None:
            self.backbone.model.rope_deltas = None
        return {"inputs_embeds": self._imagine(input_ids, noise)}

    def _scored_text(
        self, hidden: Tensor, labels: Tensor, label_weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Computes the logits (T,V) of the T labelled tokens and their weighted mean cross entropy."""
        labelled = labels[:, 1:] != -100
        logits: Tensor = self.backbone.lm_head(hidden[:, :-1][labelled])
        losses = nn.functional.cross_entropy(logits.float(), labels[:, 1:][labelled], reduction="none")
        weights = torch.ones_like(losses) if label_weights is None else label_weights[:, 1:][labelled]
        return logits, (weights * losses).sum() / weights.sum()

    def run_trunk(self, pixel_values: Tensor) -> TrunkOutput | None:
        """Runs the trunk of the small tower on pictures (B,3,W,W); returns None for a model with another tower."""
        tower = getattr(self.backbone.model, "vision_tower", None)
        trunk = getattr(tower, "trunk", None)
        if not isinstance(trunk, FaceTrunk):
            return None
        trunk_output: TrunkOutput = trunk(pixel_values.to(self.backbone.dtype))
        return trunk_output

    def keep_rows(self, past_key_values: Any, rows: Tensor) -> None:
        """Keeps `rows` (K,), indices into the batch, of a cache and drops the others: the next call has K rows."""
        past_key_values.batch_select_indices(rows)
        # Qwen's models keep, beside the cache, how far a picture shifts the positions of each row.
        shifts = getattr(self.backbone.model, "rope_deltas", None)
        if shifts is not None:
            self.backbone.model.rope_deltas = shifts[rows]

    def _imagine(self, input_ids: Tensor, noise: Tensor) -> Tensor:
        """Computes embeddings (B,L,D) with `noise` added at <FACE>."""
        if not self.config.noise_size:
            raise ValueError("this checkpoint was not trained to imagine faces (its noise_size is 0)")
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        is_face = (input_ids == self.config.face_token_id)[..., None]
        imagined: Tensor = embedded + is_face * self.imagination(noise)[:, None].to(embedded.dtype)
        return imagined

    def embed(self, input_ids: Tensor, pixel_values: Tensor, trunk_output: TrunkOutput | None) -> Tensor:
        """Computes embeddings (B,L,D) with image tokens in place and their mean added at <FACE>; one picture a row."""
        # Other towers have no such argument.
        tower_inputs = {} if trunk_output is None else {"trunk_output": trunk_output}
        image = self.backbone.get_image_features(pixel_values, return_dict=True, **tower_inputs).pooler_output
        tokens = torch.stack(list(image))
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        tokens = tokens.to(embedded.dtype)
        places = (input_ids == self.backbone.config.image_token_id)[..., None]
        embedded = embedded.masked_scatter(places, tokens)
        is_face = (input_ids == self.config.face_token_id)[..., None]
        embeddings_at_face: Tensor = embedded + is_face * tokens.mean(1, keepdim=True)
        return embeddings_at_face


def trunk_of(model: FaceGptForConditionalGeneration) -> FaceTrunk:
    """Returns the trunk of the model's vision tower; raises TypeError for a model with another tower."""
    trunk = getattr(model.backbone.model.vision_tower, "trunk", None)
    if not isinstance(trunk, FaceTrunk):
        raise TypeError("only a FaceGPT with the small convolutional tower can be trained from scratch")
    return trunk
