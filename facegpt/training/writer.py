"""Writes the text side of a training batch: the prompt of every face and, on some steps, captions and dialogues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from facegpt.model.processing import ASSISTANT, EOS, PAD, USER, FaceGptProcessor, train_tokenizer
from facegpt.morphable import FaceModel, Theta
from facegpt.training.pool import Batch
from facegpt.training.synthetic.sampling import sample_face, stack
from facegpt.training.text.attributes import Attributes, describe
from facegpt.training.text.captions import caption
from facegpt.training.text.dialogues import CHAT, DESCRIBE, answer

IGNORED = -100
DIALOGUE_SHARE = 0.3
CHAT_SHARE = 0.05
OTHER_INSTRUCTION_SHARE = 0.15


def attributes_of(theta: Theta, names: tuple[str, ...]) -> list[Attributes]:
    """Measured attributes of each face of a batch."""
    rotation, lighting = theta.rotation.numpy(), theta.lighting.numpy()
    return [
        describe(dict(zip(names, row, strict=True)), rotation[i], lighting[i])
        for i, row in enumerate(theta.expression.tolist())
    ]


def corpus(model: FaceModel, count: int, seed: int) -> Iterator[str]:
    """Captions, questions, answers and chat of `count` random faces: what the tokenizer is trained on."""
    rng = np.random.default_rng(seed)
    for attributes in attributes_of(
        stack([sample_face(rng, model) for _ in range(count)]), model.expression_names
    ):
        yield caption(attributes, rng)
        yield from answer(attributes, rng)
    for turn in CHAT:
        yield from turn
    yield from DESCRIBE


def small_processor(model: FaceModel, image_tokens: int, vocabulary: int) -> FaceGptProcessor:
    """The processor of the small FaceGPT, its tokenizer trained on `corpus`."""
    return FaceGptProcessor(
        train_tokenizer(corpus(model, 4000, seed=0), vocabulary), image_tokens, DESCRIBE[0]
    )


class DialogueWriter:
    """Token ids of a batch at a step: text every `text_every` steps, else just the prompt up to <FACE>.

    Called with a batch and a step; returns input ids (B,L), attention mask (B,L) and labels (B,L) or None. Text is
    the same for the same seed, step and batch.
    """

    def __init__(self, processor: FaceGptProcessor, model: FaceModel, seed: int, text_every: int) -> None:
        self.processor, self.names = processor, model.expression_names
        self.seed, self.text_every = seed, text_every

    def __call__(self, batch: Batch, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.text_every == 0 or step % self.text_every:
            ids = torch.tensor(self.processor.prompt()).repeat(len(batch.images), 1)
            return ids, torch.ones_like(ids), None
        rng = np.random.default_rng([self.seed, step])
        rows = [self._row(attributes, rng) for attributes in attributes_of(batch.theta, self.names)]
        length = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.full((len(rows), length), PAD)
        labels = torch.full((len(rows), length), IGNORED)
        for i, (prompt, text) in enumerate(rows):
            whole = torch.tensor([*prompt, *text])
            ids[i, : len(whole)] = whole
            labels[i, len(prompt) : len(whole)] = whole[len(prompt) :]
        return ids, (ids != PAD).long(), labels

    def _row(self, attributes: Attributes, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """One row: what is given, and what is to be said."""
        encode, kind = self.processor.encode, rng.random()
        if kind >= DIALOGUE_SHARE + CHAT_SHARE:
            other = rng.random() < OTHER_INSTRUCTION_SHARE
            instruction = DESCRIBE[int(rng.integers(len(DESCRIBE)))] if other else None
            return self.processor.prompt(instruction), [*encode(caption(attributes, rng)), EOS]
        question, reply = (
            answer(attributes, rng) if kind < DIALOGUE_SHARE else CHAT[int(rng.integers(len(CHAT)))]
        )
        given = [*self.processor.prompt(), USER, *encode(question), ASSISTANT]
        return given, [*encode(reply), EOS]
