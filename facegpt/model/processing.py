"""The processor: from crops and text to the tensors of a FaceGPT sequence, and from tokens back to text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

U8 = npt.NDArray[np.uint8]
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<FACE>", "<image>", "<user>", "<assistant>")
PAD, BOS, EOS, FACE, IMAGE, USER, ASSISTANT = range(7)
NOT_WORDS = (PAD, BOS, FACE, IMAGE, USER, ASSISTANT)
FILE = "facegpt_processor.json"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE of at most `vocabulary` tokens; the special tokens take the first ids, in order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=list(SPECIAL_TOKENS[3:]),
    )


class FaceProcessor(ABC):
    """A processor for one family of models: it builds `user: picture, instruction; assistant: <FACE> caption`.

    `ends`: ids that end the assistant's turn, the one that training uses first. `pad`: an id for masked positions.
    `silent`: ids that are never decoded. Pictures are crops of one size, so that all prompts have one length.
    """

    tokenizer: PreTrainedTokenizerFast
    instruction: str
    ends: tuple[int, ...]
    pad: int
    silent: tuple[int, ...]

    @abstractmethod
    def image_inputs(self, pixels: Tensor) -> dict[str, Tensor]:
        """Makes the image inputs of the model, by name, of pictures (N,3,W,W) in 0..1."""

    @abstractmethod
    def token_types(self, ids: Tensor) -> dict[str, Tensor]:
        """Makes the inputs, by name, that tell image tokens from words in sequences with a picture (N,L)."""

    @abstractmethod
    def prompt(self, instruction: str | None = None) -> list[int]:
        """Makes the ids of the sequence up to and with <FACE>."""

    @abstractmethod
    def turn(self, question: str) -> list[int]:
        """Makes the ids that follow <FACE> if the user asks `question` instead of taking a caption."""

    @abstractmethod
    def description(self, text: str) -> list[int]:
        """Makes the ids of a sequence without a picture, whose <FACE> becomes a face that `text` describes."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the tokenizer and the layout of the sequence into `folder`."""

    @abstractmethod
    def not_text(self) -> Iterable[str]:
        """Lists the tokens that the text of a user must not be able to forge."""

    def encode(self, text: str) -> list[int]:
        """Tokenises plain text without special tokens: user text cannot forge a <FACE> or an <image>."""
        for token in self.not_text():
            text = text.replace(token, " ")
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def encode_pieces(self, pieces: Iterable[tuple[str, float]]) -> tuple[list[int], list[float]]:
        """Tokenises the joined text of (text, value) pieces: ids, and for each the value of the piece it ends in."""
        texts, values = zip(*pieces, strict=True)
        ends = np.cumsum([len(text) for text in texts])
        coded = self.tokenizer("".join(texts), add_special_tokens=False, return_offsets_mapping=True)
        places = np.searchsorted(ends, [end for _, end in coded["offset_mapping"]])
        return coded["input_ids"], [values[place] for place in places]

    def full_stops(self) -> tuple[int, ...]:
        """Lists the ids that end a sentence of a caption, with or without words in it."""
        return tuple(sorted({self.encode(text)[-1] for text in ("eyes.", " .")}))

    def decode(self, ids: Sequence[int]) -> str:
        """Turns token ids into text, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def pixel_values(self, crops: U8 | Sequence[U8]) -> Tensor:
        """Converts crops (N,W,W,3) uint8 sRGB to (N,3,W,W) float in 0..1; raises ValueError on any other form."""
        array = np.asarray(crops)
        if (
            array.ndim != 4
            or array.shape[-1] != 3
            or array.shape[1] != array.shape[2]
            or array.dtype != np.uint8
        ):
            raise ValueError(f"crops are {array.dtype} {array.shape}, expected uint8 (N, W, W, 3)")
        return torch.from_numpy(np.ascontiguousarray(array)).permute(0, 3, 1, 2).float() / 255


class FaceGptProcessor(FaceProcessor):
    """The processor of the small FaceGPT: `<bos><user><image>*K instruction<assistant><FACE> caption<eos>`, and chats.

    `image_tokens` is K, the number of tokens that the vision tower gives for a picture; `instruction` is the prompt
    that annotation uses.
    """

    ends = (EOS,)
    pad = PAD
    silent = NOT_WORDS

    def __init__(self, tokenizer: PreTrainedTokenizerFast, image_tokens: int, instruction: str) -> None:
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.instruction = instruction

    def not_text(self) -> Iterable[str]:
        return SPECIAL_TOKENS

    def image_inputs(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"pixel_values": pixels}

    def token_types(self, ids: Tensor) -> dict[str, Tensor]:
        return {}

    def prompt(self, instruction: str | None = None) -> list[int]:
        words = self.encode(self.instruction if instruction is None else instruction)
        return [BOS, USER, *[IMAGE] * self.image_tokens, *words, ASSISTANT, FACE]

    def turn(self, question: str) -> list[int]:
        return [USER, *self.encode(question), ASSISTANT]

    def description(self, text: str) -> list[int]:
        return [BOS, USER, *self.encode(text), ASSISTANT, FACE]

    def save_pretrained(self, folder: str | Path) -> None:
        self.tokenizer.save_pretrained(str(folder))
        settings = {"image_tokens": self.image_tokens, "instruction": self.instruction}
        (Path(folder) / FILE).write_text(json.dumps(settings, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FaceGptProcessor:
        """Reads what `save_pretrained` wrote; raises FileNotFoundError naming the missing file."""
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is no FaceGPT checkpoint: it has no {FILE}")
        settings = json.loads(path.read_text())
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
        return cls(tokenizer, int(settings["image_tokens"]), str(settings["instruction"]))
