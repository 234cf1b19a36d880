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
from facegpt.model.tower.trunk import FaceTrunk, Seen
from facegpt.morphable import Theta


@dataclass
class FaceGptOutput(ModelOutput):
    """What a forward pass gives: text `loss` and `logits`, `theta` (R,N) and `log_error` (R,) of the R rows
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
    """sigma of the paper: an MLP from the <FACE> token's hidden state (R,D) to theta (R,N) and log error (R,)."""

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
        """theta (R,N) and log error (R,) of z (R,N+1), whose blocks have about unit scale."""
        c, z = self.config, z.float()
        sizes = [c.n_shape, c.n_expression, c.n_albedo, 27, 3, 3, 1]
        shape, expression, albedo, lighting, rotation, translation, log_error = z.split(sizes, -1)
        mean_light = z.new_tensor(c.lighting_mean).repeat_interleave(3)
        theta = Theta(
            shape,
            torch.sigmoid(expression + c.expression_bias),
            albedo,
            mean_light + c.lighting_scale * lighting,
            c.rotation_scale * rotation,
            z.new_tensor(c.translation_mean) + translation * z.new_tensor(c.translation_scale),
        )
        return theta.flat(), log_error.squeeze(-1)


class FaceGptForConditionalGeneration(PreTrainedModel):
    """Any image-text-to-text model with a <FACE> token and a face head."""

    config_class = FaceGptConfig
    base_model_prefix = "facegpt"
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True
    # It is a thousandth of the weights, and what it gives are coordinates, not words.
    _keep_in_fp32_modules_strict = {"face_head"}  # noqa: RUF012  an instance variable of its base

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
        seen: Seen | None = None,
        **inputs: Any,
    ) -> FaceGptOutput:
        """Runs the backbone over `input_ids` (B,L); the first <FACE> of a row, if it has one, gives the row's theta.

        `labels` (B,L) are token ids with -100 where text is not scored; `label_weights` (B,L), 1 without, says how much
        each counts in the mean. `pixel_values` and other image inputs are those of the backbone's own processor; `seen`
        is what `look` gave for them, if it was asked already. `noise` (B,`noise_size`), normally distributed, makes of
        a description without an image one of the faces that it fits.

        Raises:
            ValueError: noise for a model that cannot imagine.
        """
        if pixel_values is not None:
            pixel_values = pixel_values.to(self.backbone.dtype)
            if seen is None and self.config.face_sees_image:
                seen = self.look(pixel_values)
        given: dict[str, Any] = {"input_ids": input_ids, "pixel_values": pixel_values}
        if self.config.face_sees_image and pixel_values is not None:
            given = {"inputs_embeds": self._embed(input_ids, pixel_values, seen)}
        elif noise is not None:
            # Qwen's models would place words without ids by the picture that they were last shown.
            if getattr(self.backbone.model, "rope_deltas", None) is not None:
                self.backbone.model.rope_deltas = None
            given = {"inputs_embeds": self._imagine(input_ids, noise)}
        core = self.backbone.model(
            **given,
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
            theta, log_error = self.face_head(hidden[rows, positions].to(self.face_head.norm.weight.dtype))
            if seen is not None and seen.read is not None:
                # Of fine detail the picture says more than a hidden state holds.
                theta = self.backbone.model.vision_tower.trunk.with_read(theta, seen.read[rows])
        logits = loss = None
        if labels is not None:
            wanted = labels[:, 1:] != -100
            logits = self.backbone.lm_head(hidden[:, :-1][wanted])
            losses = nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted], reduction="none")
            weights = torch.ones_like(losses) if label_weights is None else label_weights[:, 1:][wanted]
            loss = (weights * losses).sum() / weights.sum()
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

    def look(self, pixel_values: Tensor) -> Seen | None:
        """What the small tower's trunk sees in pictures (B,3,W,W); None for a model with another tower."""
        tower = getattr(self.backbone.model, "vision_tower", None)
        trunk = getattr(tower, "trunk", None)
        if not isinstance(trunk, FaceTrunk):
            return None
        seen: Seen = trunk(pixel_values.to(self.backbone.dtype))
        return seen

    def keep_rows(self, past_key_values: Any, rows: Tensor) -> None:
        """Leaves of a cache only `rows` (K,), indices into its batch: what is fed next has K rows."""
        past_key_values.batch_select_indices(rows)
        # Qwen's models keep beside the cache how far each row's places were moved by its picture.
        moved = getattr(self.backbone.model, "rope_deltas", None)
        if moved is not None:
            self.backbone.model.rope_deltas = moved[rows]

    def _imagine(self, input_ids: Tensor, noise: Tensor) -> Tensor:
        """Embeddings (B,L,D) with `noise` added at <FACE>."""
        if not self.config.noise_size:
            raise ValueError("this checkpoint was not trained to imagine faces (its noise_size is 0)")
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        is_face = (input_ids == self.config.face_token_id)[..., None]
        imagined: Tensor = embedded + is_face * self.imagination(noise)[:, None].to(embedded.dtype)
        return imagined

    def _embed(self, input_ids: Tensor, pixel_values: Tensor, seen: Seen | None) -> Tensor:
        """Embeddings (B,L,D) with image tokens in place, and their mean added at <FACE>; one picture a row."""
        # Other towers know no such word.
        looked = {} if seen is None else {"seen": seen}
        image = self.backbone.get_image_features(pixel_values, return_dict=True, **looked).pooler_output
        tokens = torch.stack(list(image))
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        tokens = tokens.to(embedded.dtype)
        places = (input_ids == self.backbone.config.image_token_id)[..., None]
        embedded = embedded.masked_scatter(places, tokens)
        is_face = (input_ids == self.config.face_token_id)[..., None]
        shown: Tensor = embedded + is_face * tokens.mean(1, keepdim=True)
        return shown


def trunk_of(model: FaceGptForConditionalGeneration) -> FaceTrunk:
    """The trunk of the model's vision tower; raises TypeError for a model with another tower."""
    trunk = getattr(model.backbone.model.vision_tower, "trunk", None)
    if not isinstance(trunk, FaceTrunk):
        raise TypeError("only a FaceGPT with the small convolutional tower can be trained from scratch")
    return trunk
