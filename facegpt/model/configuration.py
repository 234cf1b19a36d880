"""Configuration of FaceGPT: a backbone, the <FACE> token and the layout of theta."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig


class FaceGptConfig(PreTrainedConfig):
    """A backbone (any image-text-to-text configuration) plus what the face head needs to know.

    The head gives z of unit scale; lighting and camera blocks become theta through `z * scale + mean`, expression
    through a sigmoid, shape and albedo are z itself. With `face_sees_image`, the embedding of <FACE> is the mean image
    token plus its own: a shortcut past the attention that a language model trained from scratch needs (without it, the
    token's state held pose and nothing else). With a `noise_size` the model can imagine faces: noise of that width
    joins <FACE> where there is no image. `quality` is a logistic in the predicted log error.
    """

    model_type = "facegpt"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": AutoConfig}

    backbone_config: dict[str, Any] | PreTrainedConfig | None = None
    face_token_id: int = 3
    face_sees_image: bool = False
    face_model_id: str = ""
    face_model_sha256: str = ""
    crop_size: int = 112
    n_shape: int = 80
    n_expression: int = 52
    n_albedo: int = 80
    head_hidden_size: int = 512
    head_dropout: float = 0.0
    expression_bias: float = -2.5
    lighting_scale: float = 0.5
    lighting_mean: list[float] = field(default_factory=lambda: [3.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    rotation_scale: float = 0.5
    translation_mean: list[float] = field(default_factory=lambda: [0.0, 0.038, -0.93])
    translation_scale: list[float] = field(default_factory=lambda: [0.02, 0.02, 0.12])
    noise_size: int = 0
    error_midpoint: float = 1.8
    error_slope: float = 2.5

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.backbone_config, dict):
            values = dict(self.backbone_config)
            kind = values.pop("model_type", None)
            if kind is None:
                raise ValueError("backbone_config names no model_type, such as 'llava'")
            self.backbone_config = AutoConfig.for_model(kind, **values)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def n_theta(self) -> int:
        """Length of theta: shape, expression, albedo, lighting 27, rotation vector 3, translation 3."""
        return self.n_shape + self.n_expression + self.n_albedo + 33


AutoConfig.register(FaceGptConfig.model_type, FaceGptConfig, exist_ok=True)
