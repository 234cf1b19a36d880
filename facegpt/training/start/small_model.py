"""The untrained small FaceGPT: LLaVA's own classes around a convolutional tower and a four-layer Llama."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlavaConfig

from facegpt.model.configuration import FaceGptConfig
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.model.processing import BOS, EOS, FACE, IMAGE, PAD
from facegpt.model.tower.config import ConvVisionConfig
from facegpt.morphable import FaceModel
from facegpt.training.start.anchors import set_anchors

VOCABULARY = 1024
WIDTH = 256
NOISE = 192


def small_config(face_model: FaceModel, size: int) -> FaceGptConfig:
    """Describes a model of 18.5 M parameters, 37 MB in float16, for crops of `size` px; 8 image tokens and one <FACE>
    make a short sequence.
    """
    vision = ConvVisionConfig(
        image_size=size,
        unwrapped_detail=2,
        unwrapped_widths=[24, 48, 64, 128, 192],
        unwrapped_blocks=[1, 1, 2, 1],
        n_shape=face_model.n_shape,
        n_expression=face_model.n_expression,
        n_albedo=face_model.n_albedo,
        n_guess=face_model.n_shape + face_model.n_expression + face_model.n_albedo + 34,
    )
    text = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        # 1/sqrt(width): the usual 0.02 suits widths of 2,000 and stifles the signal of a narrow model.
        initializer_range=WIDTH**-0.5,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    backbone = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        image_seq_length=vision.num_tokens,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    return FaceGptConfig(
        backbone_config=backbone,
        face_token_id=FACE,
        face_sees_image=True,
        noise_size=NOISE,
        crop_size=size,
        face_model_id=face_model.id,
        face_model_sha256=face_model.sha256,
        n_shape=face_model.n_shape,
        n_expression=face_model.n_expression,
        n_albedo=face_model.n_albedo,
    )


def add_imagination(model: FaceGptForConditionalGeneration, size: int = NOISE, seed: int = 0) -> None:
    """Adds untrained weights for faces from text to a model that has none."""
    if model.config.noise_size:
        return
    model.config.noise_size = size
    width = model.config.backbone_config.get_text_config().hidden_size
    model.imagination = nn.Linear(size, width, bias=False)
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(model.imagination.weight, std=size**-0.5, generator=generator)


def small_model(face_model: FaceModel, seed: int = 0, size: int = 224) -> FaceGptForConditionalGeneration:
    """Makes a model with freshly initialised weights: He for convolutions, Xavier for what joins tower and language
    model.
    """
    torch.manual_seed(seed)
    model = FaceGptForConditionalGeneration(small_config(face_model, size))
    tower = model.backbone.model.vision_tower
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for linear in (tower.trunk.summary, tower.tokens):
        nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(tower.trunk.guess.weight)
    nn.init.zeros_(tower.trunk.guess.bias)
    set_anchors(tower.trunk, face_model)
    projector = model.backbone.model.multi_modal_projector
    for linear in (projector.linear_1, projector.linear_2):
        nn.init.xavier_uniform_(linear.weight)
    with torch.no_grad():
        # <FACE> starts almost empty, so that the head gets what it gathers from the image.
        embeddings = model.get_input_embeddings().weight
        assert isinstance(embeddings, Tensor)
        embeddings[FACE] *= 0.05
    tower.to(memory_format=torch.channels_last)
    return model
