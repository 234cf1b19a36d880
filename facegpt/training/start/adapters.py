"""Low-rank adapters (LoRA, arXiv 2106.09685) in a backbone that stays frozen, by the library peft."""

from __future__ import annotations

from typing import Any

from torch import nn

from facegpt.model.modeling import FaceGptForConditionalGeneration

MISSING = "lora_rank wants the library peft: pip install 'facegpt[lora]', or set lora_rank to 0"


def add_adapters(model: FaceGptForConditionalGeneration, rank: int) -> FaceGptForConditionalGeneration:
    """`model` with adapters of `rank` at every linear layer of its backbone; the backbone itself learns no more.

    What is new learns as well: the row of <FACE> in the embedding, the head, and what imagines. Raises ImportError
    naming the way out without peft.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError(MISSING) from error
    spoken = model.backbone.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if name.startswith("backbone.") and isinstance(module, nn.Linear) and module is not spoken
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
    faced: FaceGptForConditionalGeneration = adapted  # a PeftModel hands on what it is asked
    return faced


def merged(model: FaceGptForConditionalGeneration) -> FaceGptForConditionalGeneration:
    """`model` with its adapters worked into its weights; a model without any as it is."""
    adapted: Any = model
    if not hasattr(adapted, "merge_and_unload"):
        return model
    plain: FaceGptForConditionalGeneration = adapted.merge_and_unload()
    return plain
