"""Writes the text side of a training batch: the prompt of every face and, on some steps, captions and dialogues."""

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
"""How often a dialogue asks. An answer is decided by one word: with one question each, by a hundredth of all words."""
ANSWER_WEIGHT = 6.0
"""How much an answer's tokens count beside a caption's, of which there are many times as many."""
FAVOUR = 6.0
"""How much likelier a description in training names what few faces have, see `describe_face`."""


def corpus(model: FaceModel, count: int, seed: int) -> Iterator[str]:
    """Captions, questions, answers and chat of `count` random faces: what the tokenizer is trained on."""
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
    """The processor of the small FaceGPT, its tokenizer trained on `corpus`."""
    return FaceGptProcessor(
        train_tokenizer(corpus(model, 4000, seed=0), vocabulary), image_tokens, DESCRIBE[0]
    )


@dataclass(frozen=True)
class Described:
    """Descriptions of D faces: ids and mask (D,M), padded on the left, and where what they name lies (D,N,2), see
    `named_ranges`.
    """

    ids: Tensor
    attention: Tensor
    ranges: Tensor

    def to(self, device: torch.device) -> Described:
        return Described(self.ids.to(device), self.attention.to(device), self.ranges.to(device))


@dataclass(frozen=True)
class Text:
    """Input ids (B,L) and attention mask (B,L); with text also labels (B,L), -100 where nothing is scored, and their
    weights (B,L); with descriptions also those of the first faces.
    """

    ids: Tensor
    attention: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    described: Described | None = None

    def to(self, device: torch.device) -> Text:
        def there(part: Tensor | None) -> Tensor | None:
            return None if part is None else part.to(device)

        return Text(
            self.ids.to(device),
            self.attention.to(device),
            there(self.labels),
            there(self.weights),
            None if self.described is None else self.described.to(device),
        )


class Turn(NamedTuple):
    """What is given, what is to be said, and how much each token of that counts."""

    given: list[int]
    said: list[int]
    counts: list[float]


class DialogueWriter:
    """The text of a batch at a step: every `text_every` steps, else just the prompt up to <FACE>.

    The same for the same seed, step, batch and view of it.
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

    def __call__(self, batch: Batch, step: int, own: Theta | None = None) -> Text:
        """The text; `own` is what the model takes the faces for, if that is known before it speaks: a caption is to
        say of it what is right.
        """
        if self.text_every == 0 or step % self.text_every:
            ids = torch.tensor(self.processor.prompt()).repeat(len(batch.images), 1)
            return Text(ids, torch.ones_like(ids))
        rng = np.random.default_rng([self.seed, step])
        faces = describe(batch.theta, self.names)
        views = [None] * len(faces) if own is None else describe(own, self.names)
        among = answers_among(faces)
        rows = [self._row(face, view, among, rng) for face, view in zip(faces, views, strict=True)]
        length = max(sum(len(turn.given) + len(turn.said) for turn in row) for row in rows)
        ids = torch.full((len(rows), length), self.processor.pad)
        attention = torch.zeros_like(ids)
        labels, weights = torch.full((len(rows), length), IGNORED), torch.ones(len(rows), length)
        for i, row in enumerate(rows):
            end = 0
            for turn in row:
                begin, start = end, end + len(turn.given)
                end = start + len(turn.said)
                ids[i, begin:end] = torch.tensor([*turn.given, *turn.said])
                labels[i, start:end] = torch.tensor(turn.said)
                weights[i, start:end] = torch.tensor(turn.counts)
            attention[i, :end] = 1
        described = self._described(faces[: self.descriptions], batch.theta, rng)
        return Text(ids, attention, labels, weights, described)

    def _described(self, faces: list[Attributes], theta: Theta, rng: np.random.Generator) -> Described | None:
        """A description of each face, padded on the left so that all end in <FACE>."""
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
        own: Attributes | None,
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
        said, counts = self.processor.encode_pieces(caption(attributes, rng, predicted=own))
        return [Turn(self.processor.prompt(instruction), [*said, self.processor.ends[0]], [*counts, 1.0])]

    def _dialogue(self, asked: dict[str, str], weight: float) -> list[Turn]:
        """A turn for each question and its reply."""
        turns: list[Turn] = []
        end = self.processor.ends[0]
        for question, reply in asked.items():
            given = self.processor.turn(question)
            if not turns:
                given = [*self.processor.prompt(), *given]
            elif given[0] == end:  # The reply before has ended with it.
                given = given[1:]
            said = [*self.processor.encode(reply), end]
            turns.append(Turn(given, said, [weight] * len(said)))
        return turns
