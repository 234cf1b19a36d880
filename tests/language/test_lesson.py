"""What a dialogue to learn from asks: what is answered is so, and the words of a question alone do not give it away."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from facegpt.language.attributes import Attributes, describe
from facegpt.language.dialogues import YES_NO, answers_among, lesson
from facegpt.morphable import bundled
from facegpt.synthetic.sampling import sample_face, stack

MODEL = bundled()
COUNT = 6
MEANT = {question: key for key, questions in YES_NO.items() for question in questions}


@pytest.fixture(scope="module")
def faces() -> list[Attributes]:
    rng = np.random.default_rng(0)
    return describe(stack([sample_face(rng, MODEL) for _ in range(400)]), MODEL.expression_names)


def test_answers_are_certain_and_right(faces: list[Attributes]) -> None:
    rng = np.random.default_rng(1)
    among = answers_among(faces)
    for face in faces:
        asked = lesson(face, among, rng, COUNT)
        assert 1 <= len(asked) <= COUNT
        for question, reply in asked.items():
            if question in MEANT:
                name, values = MEANT[question]
                there = {value in values for value in face.acceptable(name)}
                assert there == {reply == "Yes."}, question


def test_every_answer_to_a_question_is_right_about_as_often(faces: list[Attributes]) -> None:
    rng = np.random.default_rng(2)
    given: dict[tuple[str, tuple[str, ...]], Counter[str]] = {key: Counter() for key in YES_NO}
    batches = [faces[start : start + 40] for start in range(0, len(faces), 40)]
    for batch in batches * 5:
        among = answers_among(batch)
        for face in batch:
            for question, reply in lesson(face, among, rng, COUNT).items():
                if question in MEANT:
                    given[MEANT[question]][reply] += 1
    for key, replies in given.items():
        assert replies.total() >= 30, key
        assert 0.35 < replies["Yes."] / replies.total() < 0.65, key
