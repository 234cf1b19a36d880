"""Questions about a face with answers from its attributes, and a little ordinary chat so that the model stays one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from facegpt.language.attributes import Attributes

Wordings = tuple[str, ...]
"""The ways to put one question; they stand for it."""

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
    """One question whose answer is certain, and that answer; yes/no questions are balanced as far as the face
    allows.
    """
    kind, known = rng.random(), certain_answers(attributes)
    if kind < 0.6:
        wanted = "Yes." if rng.integers(2) else "No."
        questions = list(YES_NO.values())
        for position in rng.permutation(len(questions)):
            wordings = questions[int(position)]
            if known.get(wordings) == wanted:
                return _pick(wordings, rng), wanted
    table = HOW_MUCH if kind > 0.8 else WHICH
    open_ones = [wordings for wordings, _ in table.values() if wordings in known]
    if not open_ones:
        return CHAT[int(rng.integers(len(CHAT)))]
    wordings = open_ones[int(rng.integers(len(open_ones)))]
    return _pick(wordings, rng), known[wordings]


def certain_answers(attributes: Attributes) -> dict[Wordings, str]:
    """The answer to every question about a face, by the question's wordings, where it is certain."""
    found: dict[Wordings, str] = {}
    for (name, values), wordings in YES_NO.items():
        there = {value in values for value in attributes.acceptable(name)}
        if len(there) == 1:
            found[wordings] = "Yes." if there.pop() else "No."
    for table in (WHICH, HOW_MUCH):
        for name, (wordings, answers) in table.items():
            if attributes.certain(name):
                found[wordings] = _sentence(answers[attributes.value(name)])
    return found


def answers_among(faces: Iterable[Attributes]) -> dict[Wordings, Counter[str]]:
    """How many of the faces have each answer to each question."""
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
    """Up to `count` questions and their answers, to learn from; `among` are the answers of the faces of its batch.

    A question is put to all who have the rarest answer to it in the batch, and to as many, by chance, of those who have
    each other one. So no answer is the likelier one by the question's words alone. Where that leaves none, any one is
    put.
    """
    known = certain_answers(attributes)
    put = [wordings for wordings, reply in known.items() if rng.random() < _share(among[wordings], reply)]
    if not put:
        put = [list(known)[int(rng.integers(len(known)))]]
    chosen = (put[int(place)] for place in rng.permutation(len(put))[:count])
    return {_pick(wordings, rng): known[wordings] for wordings in chosen}


def _share(replies: Counter[str], reply: str) -> float:
    # With one answer alone there is nothing to tell apart.
    return min(replies.values()) / replies[reply] if len(replies) > 1 else 0.0


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _pick(options: Wordings, rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
