"""The text of a training batch: the prompt of every face and, on some steps, captions and dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facegpt.language.attributes import Attributes, describe
from facegpt.language.captions import caption
from facegpt.language.descriptions import describe_face, named_ranges
from facegpt.language.dialogues import CHAT, DESCRIBE, Wordings, answer, answers_among, lesson
from facegpt.language.features import FEATURES, FormMeasures
from facegpt.model.processing import FaceGptProcessor, FaceProcessor, train_tokenizer
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.point_subset import LossPoints
from facegpt.synthetic.sampling import sample_face, stack
from facegpt.training.data.pool import Batch

IGNORED = -100
DIALOGUE_SHARE = 0.5
CHAT_SHARE = 0.05
OTHER_INSTRUCTION_SHARE = 0.15
QUESTIONS = 6
"""Questions of a dialogue. An answer is decided by one word: with one question each, by a hundredth of all words."""
ANSWER_WEIGHT = 6.0
"""The weight of an answer's tokens; a caption's, of which there are many times as many, have 1."""
FAVOUR = 6.0
"""The factor by which a description in training rather names what few faces have, see `describe_face`."""


def corpus(model: FaceModel, count: int, seed: int) -> Iterator[str]:
    """Yields captions, questions, answers and chat of `count` random faces, to train the tokenizer on."""
    rng = np.random.default_rng(seed)
    theta = stack([sample_face(rng, model) for _ in range(count)])
    forms = FormMeasures(LossPoints(model, skin=0))(theta.shape).tolist()
    for attributes, form in zip(describe(theta, model.expression_names), forms, strict=True):
        yield "".join(piece.text for piece in caption(attributes, rng))
        yield from answer(attributes, rng)
        yield describe_face(attributes, dict(zip(FEATURES, form, strict=True)), rng).text
    for turn in CHAT:
        yield from turn
    yield from DESCRIBE


def small_processor(model: FaceModel, image_tokens: int, vocabulary: int) -> FaceGptProcessor:
    """Makes the processor of the small FaceGPT, its tokenizer trained on `corpus`."""
    return FaceGptProcessor(
        train_tokenizer(corpus(model, 4000, seed=0), vocabulary), image_tokens, DESCRIBE[0]
    )


@dataclass(frozen=True)
class Described:
    """The descriptions of D faces: ids and mask (D,M), padded on the left, and the ranges (D,N,2) of what they name,
    see `named_ranges`.
    """

    ids: Tensor
    attention: Tensor
    ranges: Tensor

    def to(self, device: torch.device) -> Described:
        """Moves them to a device."""
        return Described(self.ids.to(device), self.attention.to(device), self.ranges.to(device))


@dataclass(frozen=True)
class Text:
    """The input ids (B,L) and attention mask (B,L) of a batch; with text also labels (B,L), -100 where nothing is
    scored, and their weights (B,L); with descriptions also those of the first faces.
    """

    ids: Tensor
    attention: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    described: Described | None = None

    def to(self, device: torch.device) -> Text:
        """Moves it to a device."""

        def moved(part: Tensor | None) -> Tensor | None:
            return None if part is None else part.to(device)

        return Text(
            self.ids.to(device),
            self.attention.to(device),
            moved(self.labels),
            moved(self.weights),
            None if self.described is None else self.described.to(device),
        )


class Turn(NamedTuple):
    """A turn of a dialogue: tokens of the prompt, tokens of the reply, and the weight of each token of the reply."""

    prompt: list[int]
    reply: list[int]
    weights: list[float]


class DialogueWriter:
    """A writer of the text of a batch at a step: every `text_every` steps, else just the prompt up to <FACE>.

    The text is the same for the same seed, step, batch and estimate of its faces.
    """

    def __init__(
        self,
        processor: FaceProcessor,
        model: FaceModel,
        seed: int,
        text_every: int,
        descriptions: int = 0,
    ) -> None:
        self.processor, self.names = processor, model.expression_names
        self.seed, self.text_every, self.descriptions = seed, text_every, descriptions
        self.form = FormMeasures(LossPoints(model, skin=0))

    def __call__(self, batch: Batch, step: int, estimate: Theta | None = None) -> Text:
        """Writes the text; a caption says what is right in `estimate`, the model's estimate of the faces, if there is
        one.
        """
        if self.text_every == 0 or step % self.text_every:
            ids = torch.tensor(self.processor.prompt()).repeat(len(batch.images), 1)
            return Text(ids, torch.ones_like(ids))
        rng = np.random.default_rng([self.seed, step])
        faces = describe(batch.theta, self.names)
        estimates = [None] * len(faces) if estimate is None else describe(estimate, self.names)
        among = answers_among(faces)
        rows = [self._row(face, other, among, rng) for face, other in zip(faces, estimates, strict=True)]
        length = max(sum(len(turn.prompt) + len(turn.reply) for turn in row) for row in rows)
        ids = torch.full((len(rows), length), self.processor.pad)
        attention = torch.zeros_like(ids)
        labels, weights = torch.full((len(rows), length), IGNORED), torch.ones(len(rows), length)
        for i, row in enumerate(rows):
            end = 0
            for turn in row:
                begin, start = end, end + len(turn.prompt)
                end = start + len(turn.reply)
                ids[i, begin:end] = torch.tensor([*turn.prompt, *turn.reply])
                labels[i, start:end] = torch.tensor(turn.reply)
                weights[i, start:end] = torch.tensor(turn.weights)
            attention[i, :end] = 1
        described = self._described(faces[: self.descriptions], batch.theta, rng)
        return Text(ids, attention, labels, weights, described)

    def _described(self, faces: list[Attributes], theta: Theta, rng: np.random.Generator) -> Described | None:
        """Describes each face, padded on the left so that all end in <FACE>."""
        if not faces:
            return None
        forms = self.form(theta.shape[: len(faces)]).tolist()
        drawn = [
            describe_face(face, dict(zip(FEATURES, form, strict=True)), rng, FAVOUR)
            for face, form in zip(faces, forms, strict=True)
        ]
        rows = [self.processor.description(one.text) for one in drawn]
        length = max(map(len, rows))
        ids = torch.tensor([[self.processor.pad] * (length - len(row)) + row for row in rows])
        attention = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
        return Described(ids, attention, torch.tensor([named_ranges(one) for one in drawn]))

    def _row(
        self,
        attributes: Attributes,
        estimate: Attributes | None,
        among: Mapping[Wordings, Counter[str]],
        rng: np.random.Generator,
    ) -> list[Turn]:
        kind = rng.random()
        if kind < DIALOGUE_SHARE:
            return self._dialogue(lesson(attributes, among, rng, QUESTIONS), ANSWER_WEIGHT)
        if kind < DIALOGUE_SHARE + CHAT_SHARE:
            return self._dialogue(dict([CHAT[int(rng.integers(len(CHAT)))]]), 1.0)
        other = rng.random() < OTHER_INSTRUCTION_SHARE
        instruction = DESCRIBE[int(rng.integers(len(DESCRIBE)))] if other else None
        reply, weights = self.processor.encode_pieces(caption(attributes, rng, predicted=estimate))
        return [Turn(self.processor.prompt(instruction), [*reply, self.processor.ends[0]], [*weights, 1.0])]

    def _dialogue(self, replies: dict[str, str], weight: float) -> list[Turn]:
        """Makes a turn of each question and its reply."""
        turns: list[Turn] = []
        end = self.processor.ends[0]
        for question, reply in replies.items():
            prompt = self.processor.turn(question)
            if not turns:
                prompt = [*self.processor.prompt(), *prompt]
            elif prompt[0] == end:  # The reply before has ended with it.
                prompt = prompt[1:]
            tokens = [*self.processor.encode(reply), end]
            turns.append(Turn(prompt, tokens, [weight] * len(tokens)))
        return turns
