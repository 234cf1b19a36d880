"""FaceGPT's classes at a tiny size, with random weights."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlavaConfig

from facegpt.model.configuration import FaceGptConfig
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.model.processing import EOS, FACE, IMAGE, FaceGptProcessor, train_tokenizer
from facegpt.model.tower.config import ConvVisionConfig

TEXTS = ["describe the face", "a face turned to the left. the mouth is open.", "is the mouth open", "yes."]


def text_config() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=320,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=EOS,
        initializer_range=0.3,
    )


def conv_model(face_sees_image: bool = True, albedo_side: int = 0) -> FaceGptForConditionalGeneration:
    torch.manual_seed(0)
    vision = ConvVisionConfig(
        image_size=32,
        widths=[4, 8, 8],
        blocks=[1, 0],
        reduced_width=4,
        num_tokens=3,
        hidden_size=32,
        num_points=8,
        unwrapped_side=16,
        unwrapped_widths=[4, 8],
        unwrapped_blocks=[1],
        unwrapped_reduced_width=4,
        summary_width=24,
        albedo_side=albedo_side,
    )
    backbone = LlavaConfig(
        vision_config=vision,
        text_config=text_config(),
        image_token_index=IMAGE,
        image_seq_length=3,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    config = FaceGptConfig(
        backbone_config=backbone, face_token_id=FACE, face_sees_image=face_sees_image, crop_size=32
    )
    model = FaceGptForConditionalGeneration(config).eval()
    trunk = model.backbone.model.vision_tower.trunk
    trunk.fit.mean.normal_(0, 0.06)
    trunk.fit.basis.normal_(0, 0.003)
    trunk.unwrap.weights.normal_(0, 0.1)
    return model


def processor() -> FaceGptProcessor:
    return FaceGptProcessor(train_tokenizer(TEXTS, 320), 3, TEXTS[0])


def pixels(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
