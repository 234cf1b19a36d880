"""Low-rank adapters (LoRA, arXiv 2106.09685) in a backbone that stays frozen, by the library peft."""

from __future__ import annotations

from typing import Any

from torch import nn

from facegpt.model.modeling import FaceGptForConditionalGeneration

MISSING = "start.lora_rank wants the library peft: pip install 'facegpt[lora]', or set it to 0"


def add_adapters(model: FaceGptForConditionalGeneration, rank: int) -> FaceGptForConditionalGeneration:
    """Adds adapters of `rank` at every linear layer of the model's backbone, which is frozen.

    The row of <FACE> in the embedding, the head and the imagination are trained as well. Raises ImportError without
    peft, with the way out.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError(MISSING) from error
    output = model.backbone.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if name.startswith("backbone.") and isinstance(module, nn.Linear) and module is not output
    ]
    words = model.get_input_embeddings()
    embedding = next(name for name, module in model.named_modules() if module is words)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=linear,
        trainable_token_indices={embedding: [model.config.face_token_id]},
    )
    adapted: Any = get_peft_model(model, config)
    for new in (model.face_head, getattr(model, "imagination", None)):
        if isinstance(new, nn.Module):
            new.requires_grad_(True)
    typed: FaceGptForConditionalGeneration = adapted  # a PeftModel passes attributes and calls on to it
    return typed


def merge_adapters(model: FaceGptForConditionalGeneration) -> FaceGptForConditionalGeneration:
    """Merges the adapters of `model` into its weights; returns a model without any as it is."""
    adapted: Any = model
    if not hasattr(adapted, "merge_and_unload"):
        return model
    plain: FaceGptForConditionalGeneration = adapted.merge_and_unload()
    return plain
