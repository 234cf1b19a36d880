"""Joins a vision-language model and a face head: a new token <FACE>, the head, and the model's own chat format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AddedToken, AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from facegpt.memory import available, gib, is_out_of_memory, weight_bytes
from facegpt.model.backbones.processor import TOKEN, BackboneError, BackboneProcessor
from facegpt.model.configuration import FaceGptConfig
from facegpt.model.modeling import FaceGptForConditionalGeneration, FaceHead
from facegpt.morphable import FaceModel


def load_backbone(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Loads the image-text-to-text model in `folder`, whose type transformers must know.

    Raises:
        BackboneError: it is something else, incomplete, or larger than the memory.
    """
    needed, free = weight_bytes(folder.glob("*.safetensors"), dtype.itemsize), available()
    if free is not None and needed > free:
        raise BackboneError(
            f"the backbone in {folder} needs {gib(needed)} of memory, and {gib(free)} are free"
        )
    try:
        config = AutoConfig.from_pretrained(str(folder))
        if type(config) not in AutoModelForImageTextToText._model_mapping:
            raise BackboneError(
                f"{folder} is a '{config.model_type}', no image-text-to-text model that transformers knows"
            )
        backbone: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(str(folder), dtype=dtype)
    except BackboneError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BackboneError(f"no backbone in {folder}: {' '.join(str(error).split())[:300]}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise BackboneError(f"not enough memory to load the backbone in {folder}") from error
    return backbone


def with_face(
    backbone: PreTrainedModel,
    processor: Any,
    face_model: FaceModel,
    *,
    crop_size: int,
    instruction: str,
    noise_size: int = 0,
    seed: int = 0,
) -> tuple[FaceGptForConditionalGeneration, BackboneProcessor]:
    """Makes an untrained FaceGPT over `backbone`, whose answers to other prompts stay as they were, token for token.

    <FACE> takes a spare row of the embedding, or a new one, and starts as the mean of all rows; the head and, with a
    `noise_size`, the projection of the noise are random. `crop_size`: side of the crops in pixels, before the
    processor.
    """
    processor.tokenizer.add_tokens([AddedToken(TOKEN, special=True, normalized=False)], special_tokens=True)
    face_processor = BackboneProcessor(processor, instruction, crop_size)
    rows: Any = backbone.get_input_embeddings().num_embeddings
    if len(processor.tokenizer) > rows:
        backbone.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    with torch.no_grad():
        for layer in (backbone.get_input_embeddings(), backbone.get_output_embeddings()):
            weight = getattr(layer, "weight", None)
            if isinstance(weight, Tensor):
                weight[face_processor.face] = weight[:rows].float().mean(0).to(weight.dtype)
    config = FaceGptConfig(
        backbone_config=backbone.config,
        face_token_id=face_processor.face,
        noise_size=noise_size,
        crop_size=crop_size,
        face_model_id=face_model.id,
        face_model_sha256=face_model.sha256,
        n_shape=face_model.n_shape,
        n_expression=face_model.n_expression,
        n_albedo=face_model.n_albedo,
    )
    return _joined(backbone, config, seed), face_processor


def _joined(backbone: PreTrainedModel, config: FaceGptConfig, seed: int) -> FaceGptForConditionalGeneration:
    """Builds the model around a loaded backbone, without a second copy of its weights."""
    with torch.device("meta"):
        model = FaceGptForConditionalGeneration(config)
    width = backbone.config.get_text_config().hidden_size
    model.backbone = backbone
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.face_head = FaceHead(config, width)
        nn.init.zeros_(model.face_head.output.bias)
        if config.noise_size:
            model.imagination = nn.Linear(config.noise_size, width, bias=False)
            nn.init.normal_(model.imagination.weight, std=0.1 * config.noise_size**-0.5)
    model.face_head.to(backbone.device)
    if config.noise_size:
        model.imagination.to(backbone.device, backbone.dtype)
    return model
