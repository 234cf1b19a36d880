"""Faces per second of one prefill for two products, beside the bare generation loop and two passes, random weights.

    python -m benchmarks.one_prefill [--shape tiny] [--device cpu] [--batch 8] [--tokens 32]
    python -m benchmarks.one_prefill --shape llava-1.5-7b --device cuda --batch 64

stage: theta and a caption of `--tokens` words by `generate_faces`, as annotation does it. bare: the backbone's own
`generate` of as many tokens after the same prompt, without theta. two passes: one forward pass for theta, then
`generate` from the start. All three in turn in every round; figures are medians over the rounds, ratios with their
range. floor (CUDA): what arithmetic and memory of the device would need, from operations and bytes. idle: share of the
stage's time in which no kernel ran, by torch's profiler.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from facegpt.model.backbones.join import with_face
from facegpt.model.backbones.processor import BackboneProcessor
from facegpt.model.generation import generate_faces
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.morphable import bundled

SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' }}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TERA = 1e12
# Dense bfloat16 operations and bytes a second, by the name that the device gives itself.
DEVICES = {
    "H100": (989 * TERA, 3.35 * TERA),
    "H200": (989 * TERA, 4.8 * TERA),
    "A100": (312 * TERA, 2.0 * TERA),
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a LLaVA; those of llava-1.5-7b are the published ones, and llava-1.5-narrow has its pictures, and so as
    many words before the first one, at an eighth of its width and a quarter of its depth.
    """

    picture: int
    vision: dict[str, int]
    text: dict[str, int]


SHAPES = {
    "tiny": Shape(
        56,
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
        {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 8},
    ),
    "llava-1.5-narrow": Shape(
        336,
        {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 2},
        {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 4},
    ),
    "llava-1.5-7b": Shape(
        336,
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    ),
}


def build(shape: Shape, device: str) -> tuple[FaceGptForConditionalGeneration, BackboneProcessor]:
    """A FaceGPT over a LLaVA of `shape` with random weights; bfloat16 on a GPU."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(
        ["describe the face"],
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    side = shape.picture
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=side, patch_size=14, **shape.vision),
        text_config=LlamaConfig(vocab_size=32064, **shape.text),
        image_token_index=3,
        image_seq_length=(side // 14) ** 2,
    )
    with torch.device(device):
        backbone = AutoModelForImageTextToText.from_config(
            config, dtype=torch.float32 if device == "cpu" else torch.bfloat16
        )
    model, spoken = with_face(backbone, processor, bundled(), crop_size=side, instruction="describe the face")
    spoken.ends = (-1,)  # random words never end by themselves
    module: torch.nn.Module = model
    module.eval()
    return model, spoken


def ways(
    model: FaceGptForConditionalGeneration, processor: BackboneProcessor, pixels: Tensor, tokens: int
) -> dict[str, Callable[[], object]]:
    """The three ways to a theta and a caption, or to a caption alone."""
    ids = torch.tensor([processor.prompt()], device=pixels.device).expand(len(pixels), -1)
    words: dict[str, Any] = {
        "max_new_tokens": tokens,
        "min_new_tokens": tokens,
        "do_sample": False,
        "pad_token_id": 0,
    }

    def shown() -> dict[str, Tensor]:
        return {**processor.image_inputs(pixels), **processor.token_types(ids)}

    def stage() -> object:
        return generate_faces(model, processor, pixels, max_new_tokens=tokens)

    def bare() -> object:
        given = shown()
        given["pixel_values"] = given["pixel_values"].to(model.backbone.dtype)
        return model.backbone.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **given, **words)

    def two_passes() -> object:
        model(input_ids=ids, **shown())
        return bare()

    return {"stage": stage, "bare": bare, "two passes": two_passes}


def floor_seconds(
    model: FaceGptForConditionalGeneration, batch: int, prompt: int, tokens: int
) -> float | None:
    """Least seconds for a batch: operations of the prefill, weights and cache read once a word; None without specs."""
    specs = next((value for name, value in DEVICES.items() if name in torch.cuda.get_device_name()), None)
    if specs is None:
        return None
    text = model.backbone.config.get_text_config()
    weights = sum(p.numel() for p in model.backbone.parameters())
    cache = (
        2 * text.num_hidden_layers * text.num_key_value_heads * (text.hidden_size // text.num_attention_heads)
    )
    prefill = 2 * weights * batch * prompt / specs[0]
    read = 2 * (weights + cache * batch * (prompt + tokens / 2))
    return prefill + tokens * max(read / specs[1], 2 * weights * batch / specs[0])


def seconds(run: Callable[[], object], cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def idle_share(run: Callable[[], object]) -> float:
    """Share of the time of `run` in which the GPU had no kernel."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        whole = seconds(run, cuda=True)
    busy = sum(event.device_time_total for event in seen.events()) / 1e6
    return max(0.0, 1 - busy / whole)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="tiny", choices=list(SHAPES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    model, processor = build(SHAPES[options.shape], options.device)
    side = SHAPES[options.shape].picture
    crops = np.random.default_rng(0).integers(0, 256, (options.batch, side, side, 3), dtype=np.uint8)
    pixels = processor.pixel_values(crops).to(options.device)
    runs = ways(model, processor, pixels, options.tokens)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            spent = seconds(run, cuda)
            if number:  # the first round warms up
                taken[name].append(spent)
    prompt = len(processor.prompt())
    print(f"{options.shape} on {options.device}, batch {options.batch}, {prompt} + {options.tokens} tokens")
    print("| way | faces/s | ratio to bare (range) |\n|---|---|---|")
    for name, each in taken.items():
        ratios = [bare / own for own, bare in zip(each, taken["bare"], strict=True)]
        print(
            f"| {name} | {options.batch / statistics.median(each):.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |"
        )
    if cuda:
        least = floor_seconds(model, options.batch, prompt, options.tokens)
        if least is not None:
            print(f"| floor | {options.batch / least:.2f} | |")
        print(f"idle share of the GPU inside the stage: {idle_share(runs['stage']):.1%}")


if __name__ == "__main__":
    main()
