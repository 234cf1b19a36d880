"""Published families of vision-language models at a tiny size: their real classes, random weights, words of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    Idefics3Config,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    SiglipVisionConfig,
)

from facegpt.model.backbones.processor import images_only

CROP = 56
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "initializer_range": 0.2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
IM, END = "<|im_start|>", "<|im_end|>"


def template(picture: str, begin: str = "") -> str:
    """A chat template in the form that these models publish theirs in."""
    return (
        begin
        + "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% for c in m['content'] %}"
        + "{% if c['type'] == 'image' %}"
        + picture
        + "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def tokenizer(special: list[str], **names: Any) -> PreTrainedTokenizerFast:
    words = Tokenizer(BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320 - 20,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["describe the face", "what is the colour of the sky"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


def llava() -> tuple[Any, Any]:
    own = tokenizer(
        ["<pad>", "<s>", "</s>", "<image>", IM, END], pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        own,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    vision = CLIPVisionConfig(**VISION)
    # As many rows as words: a new one has to be made.
    text = LlamaConfig(**{**TEXT, "vocab_size": len(own)})
    return processor, LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, image_seq_length=4
    )


def qwen() -> tuple[Any, Any]:
    pads = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    own = tokenizer(["<|endoftext|>", IM, END, *pads], pad_token="<|endoftext|>", eos_token=END)
    processor = images_only(Qwen2_5_VLProcessor)(
        Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, min_pixels=28 * 28, max_pixels=56 * 56),
        own,
        chat_template=template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
    )
    return processor, config


def gemma() -> tuple[Any, Any]:
    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    own = tokenizer(
        ["<pad>", "<eos>", "<bos>", *names.values(), IM, END],
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=names,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 28, "width": 28}),
        own,
        image_seq_length=4,
        chat_template=template("<start_of_image>", "{{ bos_token }}"),
    )
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**TEXT, head_dim=8, sliding_window=16),
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        mm_tokens_per_image=4,
        boi_token_index=3,
        eoi_token_index=4,
        image_token_index=5,
    )
    return processor, config


def idefics() -> tuple[Any, Any]:
    special = ["<pad>", "<eos>", "<bos>", "<image>", "<fake_token_around_image>", "<global-img>"]
    own = tokenizer(
        [*special, "<end_of_utterance>", IM, END], pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(
            size={"longest_edge": 56}, max_image_size={"longest_edge": 56}, do_image_splitting=False
        ),
        own,
        image_seq_len=4,
        chat_template=template("<image>"),
    )
    vision = {**VISION, "image_size": 56, "patch_size": 14}
    config = Idefics3Config(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT),
        image_token_id=3,
        scale_factor=2,
        pad_token_id=0,
    )
    return processor, config


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "llava": llava,
    "qwen2_5_vl": qwen,
    "gemma3": gemma,
    "idefics3": idefics,
}


def backbone(family: str) -> tuple[PreTrainedModel, Any]:
    """A backbone of `family` with random weights, in evaluation mode, and its processor."""
    processor, config = FAMILIES[family]()
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)
    if family == "gemma3":
        # Begins as 0: an untrained Gemma sees nothing.
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)
    return model.eval(), processor
