"""What a training run starts from, an untrained model, a checkpoint or a backbone, and how its result is saved."""

from __future__ import annotations

from pathlib import Path

import torch

from facegpt.language.dialogues import DESCRIBE
from facegpt.model.backbones.join import load_backbone, with_face
from facegpt.model.backbones.processor import BackboneError, load_processor
from facegpt.model.checkpoint import Checkpoint, CheckpointError, load, locate
from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.processing import FaceGptProcessor, FaceProcessor
from facegpt.model.trained_on import FaceModelName, mismatch
from facegpt.morphable import FaceModel
from facegpt.training.config import TrainConfig
from facegpt.training.data.writer import small_processor
from facegpt.training.precision import in_bfloat16
from facegpt.training.start.adapters import add_adapters, merged
from facegpt.training.start.average import soup
from facegpt.training.start.grow import looking_closer
from facegpt.training.start.small_model import NOISE, VOCABULARY, let_imagine, small_model
from pipeline.errors import UsageError


def start(
    config: TrainConfig, face_model: FaceModel, folder: Path
) -> tuple[FaceGptForConditionalGeneration, FaceProcessor]:
    """The model that the config starts from, a backbone, a checkpoint or an untrained one, and its processor."""
    if config.backbone is not None:
        return _backbone(config, config.backbone, face_model)
    if config.initial:
        return _initial(config, face_model)
    model = small_model(face_model, config.seed, config.size)
    try:
        return model, FaceGptProcessor.from_pretrained(folder)
    except FileNotFoundError:
        image_tokens = model.config.backbone_config.image_seq_length
        processor = small_processor(face_model, image_tokens, VOCABULARY)
        folder.mkdir(parents=True, exist_ok=True)
        processor.save_pretrained(folder)
        return model, processor


def _initial(
    config: TrainConfig, face_model: FaceModel
) -> tuple[FaceGptForConditionalGeneration, FaceProcessor]:
    parts = [_checkpoint(config, name, face_model) for name in config.initial]
    try:
        start = soup(parts)
    except ValueError as error:
        raise UsageError(f"cannot start from the mean of {' and '.join(config.initial)}: {error}") from None
    model = _of_size(start.model, config)
    let_imagine(model, seed=config.seed)
    return model, start.processor


def _of_size(model: FaceGptForConditionalGeneration, config: TrainConfig) -> FaceGptForConditionalGeneration:
    """`model`, grown if the config's crops are twice as large as its own."""
    own = model.config.crop_size
    if config.size == own:
        return model
    if config.size != 2 * own or config.face_steps:
        raise UsageError(
            f"cannot start from {' and '.join(config.initial)}: it sees crops of {own} px, and `size` is "
            f"{config.size}; it may be {own}"
            + ("" if config.face_steps else f", or {2 * own} for a closer look")
        )
    return looking_closer(model, config.seed)


def _checkpoint(config: TrainConfig, name: str, face_model: FaceModel) -> Checkpoint:
    try:
        checkpoint = load(name)
        if config.face_steps < config.steps:
            trunk_of(checkpoint.model)
    except (CheckpointError, TypeError) as error:
        raise UsageError(f"cannot start from {name}: {error}") from None
    settings = checkpoint.model.config
    trained_on = FaceModelName(settings.face_model_id, settings.face_model_sha256)
    if other := mismatch(trained_on, FaceModelName(face_model.id, face_model.sha256)):
        raise UsageError(
            f"cannot start from {name}: it {other}; train from untrained weights (no `initial`), or with that face "
            "model"
        )
    return checkpoint


def _backbone(
    config: TrainConfig, name: str, face_model: FaceModel
) -> tuple[FaceGptForConditionalGeneration, FaceProcessor]:
    # Frozen weights need no more than 8 bits of mantissa; those that learn do.
    dtype = torch.bfloat16 if config.lora_rank and in_bfloat16(config) else torch.float32
    try:
        folder = locate(name, "backbone", "where there is a network, `hf download` puts it into a folder")
        model, processor = with_face(
            load_backbone(folder, dtype),
            load_processor(folder),
            face_model,
            crop_size=config.size,
            instruction=DESCRIBE[0],
            noise_size=NOISE if config.descriptions else 0,
            seed=config.seed,
        )
        if config.lora_rank:
            torch.manual_seed(config.seed)
            model = add_adapters(model, config.lora_rank)
    except (CheckpointError, BackboneError, ImportError) as error:
        raise UsageError(f"cannot build on {name}: {error}") from None
    return model, processor


def finished(model: FaceGptForConditionalGeneration, config: TrainConfig) -> FaceGptForConditionalGeneration:
    """`model` as it is saved: adapters worked in, 16 bits a number; a backbone's with their range, its head in 32."""
    model = merged(model)
    if config.backbone is None:
        return model.half()
    model.backbone.to(torch.bfloat16)
    return model
