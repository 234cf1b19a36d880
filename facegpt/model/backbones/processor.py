"""The processor of a FaceGPT over another vision-language model, with that model's own chat template and tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, ProcessorMixin
from transformers.models.auto.auto_mappings import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import processor_class_from_name

from facegpt.model.processing import FILE, FaceProcessor

TOKEN = "<FACE>"
HERE = "\N{REPLACEMENT CHARACTER}"
Message = dict[str, Any]


class BackboneError(ValueError):
    """An error for a vision-language model or processor that cannot carry a <FACE>, with the reason in one line."""


class BackboneProcessor(FaceProcessor):
    """A wrapper of a transformers processor: its chat template, its image preprocessing, its tokens.

    The processor makes the prompt for a crop size and an instruction once, with a grey picture; after that only its
    image processor runs. <FACE> is the first token of the assistant's turn.

    Raises (when made):
        BackboneError: the processor has no chat template, its tokenizer no <FACE>, or its image processor answers a
            picture alone in another way than the processor does a picture with words.
    """

    def __init__(self, processor: Any, instruction: str, crop_size: int) -> None:
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.instruction, self.crop_size = instruction, crop_size
        if not (getattr(processor, "chat_template", None) or self.tokenizer.chat_template):
            raise BackboneError(
                "the backbone's processor has no chat template: take the model's instruction-tuned sibling, or put a "
                "chat_template.jinja beside it"
            )
        face = self.tokenizer.convert_tokens_to_ids(TOKEN)
        if not isinstance(face, int) or face == self.tokenizer.unk_token_id:
            raise BackboneError(f"the backbone's tokenizer has no {TOKEN}")
        self.face = face
        self._prompts: dict[str, list[int]] = {}
        self._types: dict[str, dict[int, int]] = {}
        whole = self._ask([_user(instruction, picture=True)])
        length = len(whole["input_ids"][0])
        self._image_keys = [key for key, value in whole.items() if value.shape[:2] != (1, length)]
        self._check(whole)
        self.ends = self._ends()
        self.pad = self.ends[-1] if self.tokenizer.pad_token_id is None else int(self.tokenizer.pad_token_id)
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        self.silent = tuple(sorted(special - set(self.ends)))

    def not_text(self) -> Iterable[str]:
        added = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        return sorted((token for token in added if token.strip()), key=len, reverse=True)

    def image_inputs(self, pixels: Tensor) -> dict[str, Tensor]:
        crops = (pixels * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        processed = self.processor.image_processor([[crop] for crop in crops], return_tensors="pt")
        return {key: processed[key].to(pixels.device) for key in self._image_keys}

    def token_types(self, ids: Tensor) -> dict[str, Tensor]:
        """Makes the token types that Gemma and Qwen take: not 0 at the tokens of a picture."""
        types = {key: torch.zeros_like(ids) for key in self._types}
        for key, values in self._types.items():
            for token, value in values.items():
                types[key][ids == token] = value
        return types

    def prompt(self, instruction: str | None = None) -> list[int]:
        words = self.instruction if instruction is None else instruction
        if words not in self._prompts:
            self._prompts[words] = self._ids([_user(words, picture=True)])
        return [*self._prompts[words], self.face]

    def turn(self, question: str) -> list[int]:
        messages = [_user(self.instruction, picture=True), _assistant(HERE), _user(self._clean(question))]
        return self._tail(messages, generate=True)

    def description(self, text: str) -> list[int]:
        return [*self._ids([_user(self._clean(text))]), self.face]

    def save_pretrained(self, folder: str | Path) -> None:
        self.processor.save_pretrained(str(folder))
        settings = {"backbone": True, "instruction": self.instruction, "crop_size": self.crop_size}
        (Path(folder) / FILE).write_text(json.dumps(settings, indent=1) + "\n")

    def _clean(self, text: str) -> str:
        for token in self.not_text():
            text = text.replace(token, " ")
        return text

    def _ids(self, messages: list[Message]) -> list[int]:
        ids: list[int] = self._ask(messages)["input_ids"][0].tolist()
        return ids

    def _ask(self, messages: list[Message]) -> dict[str, Tensor]:
        """Runs the processor on a conversation, with a grey picture in each image part; notes the token types."""
        grey = Image.fromarray(np.full((self.crop_size, self.crop_size, 3), 127, np.uint8))
        for part in (part for message in messages for part in message["content"] if part["type"] == "image"):
            part["image"] = grey
        templated = self.processor.apply_chat_template(
            [messages], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        tensors: dict[str, Tensor] = {
            key: value for key, value in templated.items() if isinstance(value, Tensor)
        }
        ids = tensors["input_ids"]
        for key, value in tensors.items():
            if key not in ("input_ids", "attention_mask") and value.shape == ids.shape:
                typed = zip(ids[value != 0].tolist(), value[value != 0].tolist(), strict=True)
                self._types.setdefault(key, {}).update(typed)
        return tensors

    def _check(self, whole: dict[str, Tensor]) -> None:
        grey = torch.full((1, 3, self.crop_size, self.crop_size), 127 / 255)
        alone = self.image_inputs(grey)
        for key, value in alone.items():
            if value.shape != whole[key].shape or not torch.allclose(value.float(), whole[key].float()):
                raise BackboneError(
                    f"the backbone's image processor gives another {key} ({tuple(value.shape)}) than its processor "
                    f"({tuple(whole[key].shape)}); this family is not supported"
                )

    def _ends(self) -> tuple[int, ...]:
        """Finds the tokens that end a turn: the first one behind the assistant's words, and the eos token."""
        after = self._tail([_user(self.instruction, picture=True), _assistant(HERE)], generate=False)
        tokenizer_end = self.tokenizer.eos_token_id
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        ends = [token for token in after[:1] if token in special] + (
            [] if tokenizer_end is None else [int(tokenizer_end)]
        )
        if not ends:
            raise BackboneError(
                "the backbone's chat template ends no turn, and its tokenizer has no eos_token"
            )
        return tuple(dict.fromkeys(ends))

    def _tail(self, messages: list[Message], generate: bool) -> list[int]:
        text = self.processor.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
        ids: list[int] = self.tokenizer(text.split(HERE)[1], add_special_tokens=False)["input_ids"]
        return ids


def _user(text: str, picture: bool = False) -> Message:
    content = [{"type": "image"}] if picture else []
    return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def load_processor(folder: Path) -> Any:
    """Loads the processor of the backbone in `folder`, for pictures and text: its video part would need torchvision.

    Raises:
        BackboneError: there is none, or its family is unknown to this transformers.
    """
    try:
        config = AutoConfig.from_pretrained(str(folder))
        kind = getattr(getattr(config, "backbone_config", config), "model_type", "")
        name = PROCESSOR_MAPPING_NAMES.get(kind)
        processor_class = processor_class_from_name(name) if name else None
        if processor_class is None:
            raise BackboneError(f"{folder}: transformers knows no processor for models of type '{kind}'")
        return images_only(processor_class).from_pretrained(str(folder))
    except BackboneError:
        raise
    except (OSError, ValueError, TypeError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(f"the processor in {folder} does not load: {reason}") from error


def images_only(processor_class: type[ProcessorMixin]) -> type[ProcessorMixin]:
    names = [name for name in processor_class.get_attributes() if "video" not in name]
    return type(
        processor_class.__name__, (processor_class,), {"get_attributes": classmethod(lambda cls: names)}
    )
