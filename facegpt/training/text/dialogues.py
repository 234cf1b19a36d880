"""Questions about a face with answers from its attributes, and a little ordinary chat so that the model stays one."""

from __future__ import annotations

import numpy as np

from facegpt.training.text.attributes import Attributes

DESCRIBE = ("describe the face", "what does the face look like", "caption")
"""Instructions that ask for a caption; the first is the one that annotation uses."""

YES_NO: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {
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
COMMON = ("turn", "mouth", "smile")
"""Of what most faces are asked."""
WHICH: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
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
HOW_MUCH: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
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
    kind = rng.random()
    if kind < 0.6:
        wanted = bool(rng.integers(2))
        keys = list(YES_NO)
        for position in rng.permutation(len(keys)):
            name, values = keys[int(position)]
            acceptable = attributes.acceptable(name)
            known = all(v in values for v in acceptable) or not any(v in values for v in acceptable)
            true = acceptable[0] in values
            if known and true == wanted:
                return _pick(YES_NO[name, values], rng), "Yes." if true else "No."
    table = HOW_MUCH if kind > 0.8 else WHICH
    names = [name for name in table if attributes.certain(name)]
    if not names:
        return CHAT[int(rng.integers(len(CHAT)))]
    name = names[int(rng.integers(len(names)))]
    questions, answers = table[name]
    said = answers[attributes.value(name)]
    return _pick(questions, rng), f"{said[0].upper()}{said[1:]}."


def lesson(attributes: Attributes, rng: np.random.Generator, count: int) -> dict[str, str]:
    """Up to `count` questions and their answers, to learn from; half of them, if the face allows, about what few have.

    Of what `answer` asks about those things, "No." is so often right that a model has little to gain by looking.
    """
    rare = [
        (name, values)
        for name, values in YES_NO
        if name not in COMMON and all(value in values for value in attributes.acceptable(name))
    ]
    chosen = [rare[int(place)] for place in rng.permutation(len(rare))[: count // 2]]
    asked = {_pick(YES_NO[key], rng): "Yes." for key in chosen}
    while not asked or (len(asked) < count and rng.random() < 0.95):
        question, reply = answer(attributes, rng)
        asked[question] = reply
    names = list(asked)
    return {names[int(place)]: asked[names[int(place)]] for place in rng.permutation(len(names))}


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
