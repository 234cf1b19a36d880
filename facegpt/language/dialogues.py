"""Questions about a face with answers from its attributes, and some ordinary chat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from facegpt.language.attributes import Attributes

Wordings = tuple[str, ...]
"""The wordings of one question, which identify it."""

DESCRIBE = ("describe the face", "what does the face look like", "caption")
"""Instructions that ask for a caption; the first is the one that annotation uses."""

YES_NO: dict[tuple[str, tuple[str, ...]], Wordings] = {
    ("turn", ("left",)): ("is the head turned to the left", "does the face look left"),
    ("turn", ("right",)): ("is the head turned to the right", "does the face look right"),
    ("turn", ("front",)): ("does the face look at the camera", "is it seen from the front"),
    ("nod", ("up",)): ("is the chin up", "is the head tipped back"),
    ("nod", ("down",)): ("is the chin down", "is the head bowed"),
    ("mouth", ("slightly open", "open", "wide open")): ("is the mouth open", "are the lips parted"),
    ("smile", ("slight", "broad")): ("is there a smile", "does the face smile"),
    ("lids", ("closed",)): ("are the eyes closed", "are both eyes shut"),
    ("wink", ("one closed",)): ("is one eye closed", "is there a wink"),
    ("brows", ("raised",)): ("are the brows raised", "are the eyebrows up"),
    ("brows", ("lowered",)): ("are the brows lowered", "are the eyebrows down"),
    ("nose", ("wrinkled",)): ("is the nose wrinkled",),
    ("lips", ("pursed",)): ("are the lips pursed",),
    ("cheeks", ("puffed",)): ("are the cheeks puffed",),
    ("light", ("left",)): ("does light come from the left",),
    ("light", ("right",)): ("does light come from the right",),
}
WHICH: dict[str, tuple[Wordings, dict[str, str]]] = {
    "turn": (
        ("which way does the head turn", "where does the face look"),
        {"left": "to the left", "front": "to the camera", "right": "to the right"},
    ),
    "gaze": (("where do the eyes glance",), {"left": "left", "ahead": "ahead", "right": "right"}),
    "light": (
        ("where does the light come from",),
        {"left": "from the left", "even": "it is even", "right": "from the right"},
    ),
}
HOW_MUCH: dict[str, tuple[Wordings, dict[str, str]]] = {
    "mouth": (
        ("how far is the mouth open", "how open is the mouth"),
        {v: v for v in ("closed", "slightly open", "open", "wide open")},
    ),
    "smile": (
        ("how broad is the smile",),
        {"none": "there is no smile", "slight": "a slight smile", "broad": "a broad smile"},
    ),
    "lids": (("how open are the eyes",), {v: v for v in ("open", "half closed", "closed")}),
}
CHAT: tuple[tuple[str, str], ...] = (
    ("hello", "Hello. I describe faces and rebuild them in 3D."),
    ("hi there", "Hello. I describe faces and rebuild them in 3D."),
    ("what can you do", "I rebuild faces in 3D and answer questions about them."),
    ("who are you", "I am FaceGPT, a small model that describes faces."),
    ("who is this person", "I do not identify people."),
    ("how old is this person", "I do not guess age, sex or origin."),
    ("thank you", "You are welcome."),
    ("what is two plus two", "Four."),
    ("what colour is the sky", "Blue on a clear day."),
)


def answer(attributes: Attributes, rng: np.random.Generator) -> tuple[str, str]:
    """Draws a question whose answer is certain, and returns both; yes and no are balanced as far as the face allows."""
    kind, answers = rng.random(), certain_answers(attributes)
    if kind < 0.6:
        wanted = "Yes." if rng.integers(2) else "No."
        questions = list(YES_NO.values())
        for position in rng.permutation(len(questions)):
            wordings = questions[int(position)]
            if answers.get(wordings) == wanted:
                return _pick(wordings, rng), wanted
    questions_of_kind = HOW_MUCH if kind > 0.8 else WHICH
    certain = [wordings for wordings, _ in questions_of_kind.values() if wordings in answers]
    if not certain:
        return CHAT[int(rng.integers(len(CHAT)))]
    wordings = certain[int(rng.integers(len(certain)))]
    return _pick(wordings, rng), answers[wordings]


def certain_answers(attributes: Attributes) -> dict[Wordings, str]:
    """Finds all certain answers to questions about a face, by the question's wordings."""
    certain: dict[Wordings, str] = {}
    for (name, values), wordings in YES_NO.items():
        holds = {value in values for value in attributes.acceptable(name)}
        if len(holds) == 1:
            certain[wordings] = "Yes." if holds.pop() else "No."
    for table in (WHICH, HOW_MUCH):
        for name, (wordings, answers) in table.items():
            if attributes.certain(name):
                certain[wordings] = _sentence(answers[attributes.value(name)])
    return certain


def answers_among(faces: Iterable[Attributes]) -> dict[Wordings, Counter[str]]:
    """Counts, for each question, how many of the faces have each answer."""
    counts: dict[Wordings, Counter[str]] = defaultdict(Counter)
    for face in faces:
        for wordings, reply in certain_answers(face).items():
            counts[wordings][reply] += 1
    return counts


def lesson(
    attributes: Attributes,
    among: Mapping[Wordings, Counter[str]],
    rng: np.random.Generator,
    count: int,
) -> dict[str, str]:
    """Draws up to `count` questions and answers for training; `among` counts the answers in the face's batch.

    A question is put to all faces with its rarest answer in the batch, and to as many, by chance, with each other
    answer, so that its wording alone makes no answer likelier. If that leaves no question, any one is taken.
    """
    answers = certain_answers(attributes)
    balanced = [
        wordings for wordings, reply in answers.items() if rng.random() < _share(among[wordings], reply)
    ]
    if not balanced:
        balanced = [list(answers)[int(rng.integers(len(answers)))]]
    chosen = (balanced[int(place)] for place in rng.permutation(len(balanced))[:count])
    return {_pick(wordings, rng): answers[wordings] for wordings in chosen}


def _share(replies: Counter[str], reply: str) -> float:
    """Computes the share of the faces with this answer that are asked."""
    # A question with one answer in the whole batch teaches nothing.
    return min(replies.values()) / replies[reply] if len(replies) > 1 else 0.0


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _pick(options: Wordings, rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
