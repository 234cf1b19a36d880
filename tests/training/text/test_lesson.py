"""What a dialogue to learn from asks: what is answered is so, and saying no to everything is often wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from facegpt.morphable import bundled
from facegpt.training.synthetic.sampling import sample_face, stack
from facegpt.training.text.attributes import Attributes, describe
from facegpt.training.text.dialogues import COMMON, YES_NO, answer, lesson

MODEL = bundled()
COUNT = 4
MEANT = {question: key for key, questions in YES_NO.items() for question in questions}


@pytest.fixture(scope="module")
def faces() -> list[Attributes]:
    rng = np.random.default_rng(0)
    return describe(stack([sample_face(rng, MODEL) for _ in range(400)]), MODEL.expression_names)


def test_answers_are_certain_and_right(faces: list[Attributes]) -> None:
    rng = np.random.default_rng(1)
    for face in faces:
        asked = lesson(face, rng, COUNT)
        assert 1 <= len(asked) <= COUNT
        for question, reply in asked.items():
            if question in MEANT:
                name, values = MEANT[question]
                there = {value in values for value in face.acceptable(name)}
                assert there == {reply == "Yes."}, question


def test_what_few_have_is_there_more_often_than_when_anyone_asks(faces: list[Attributes]) -> None:
    rng = np.random.default_rng(2)
    asked, there = Counter[bool](), Counter[bool]()
    for face in faces:
        for learned in (True, False):
            questions = lesson(face, rng, COUNT) if learned else dict([answer(face, rng)])
            for question, reply in questions.items():
                if question in MEANT and MEANT[question][0] not in COMMON:
                    asked[learned] += 1
                    there[learned] += reply == "Yes."
    assert 0.3 < there[True] / asked[True] < 0.6
    assert there[True] / asked[True] > there[False] / asked[False]
