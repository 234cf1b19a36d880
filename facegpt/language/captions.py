"""Captions written from attributes and parsed back: each phrase means exactly one value of one attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from facegpt.language.attributes import Attributes

Key = tuple[str, str]
"""An attribute and one of its values."""
Phrases = Mapping[Key, Sequence[str]]

PHRASES: Phrases = {
    ("turn", "left"): ("turned to the left", "facing left"),
    ("turn", "right"): ("turned to the right", "facing right"),
    ("turn", "front"): ("facing the camera", "seen from the front"),
    ("nod", "up"): ("chin up", "tipped back"),
    ("nod", "down"): ("chin down", "bowed"),
    ("tilt", "left"): ("tilted to the left",),
    ("tilt", "right"): ("tilted to the right",),
    ("mouth", "closed"): ("closed mouth",),
    ("mouth", "slightly open"): ("slightly open mouth", "parted lips"),
    ("mouth", "open"): ("open mouth",),
    ("mouth", "wide open"): ("wide open mouth",),
    ("smile", "slight"): ("slight smile",),
    ("smile", "broad"): ("broad smile",),
    ("corners", "down"): ("corners of the mouth down",),
    ("lips", "pursed"): ("pursed lips",),
    ("cheeks", "puffed"): ("puffed cheeks",),
    ("lids", "open"): ("open eyes",),
    ("lids", "half closed"): ("half closed eyes",),
    ("lids", "closed"): ("closed eyes",),
    ("wink", "one closed"): ("one eye closed",),
    ("wide", "wide"): ("wide eyes",),
    ("gaze", "left"): ("leftward gaze",),
    ("gaze", "right"): ("rightward gaze",),
    ("gaze_height", "up"): ("upward gaze",),
    ("gaze_height", "down"): ("downward gaze",),
    ("brows", "raised"): ("raised brows",),
    ("brows", "lowered"): ("lowered brows",),
    ("nose", "wrinkled"): ("wrinkled nose",),
    ("light", "left"): ("left side light",),
    ("light", "right"): ("right side light",),
    ("light", "even"): ("even light",),
    ("light_height", "above"): ("overhead light",),
    ("light_height", "below"): ("light from below",),
}
"""Values that are easily confused differ in their first word, since greedy decoding decides there."""

_MEANING = {phrase: key for key, phrases in PHRASES.items() for phrase in phrases}
_LONGEST_FIRST = sorted(_MEANING, key=len, reverse=True)

SENTENCES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("turn",),),
    (("nod",),),
    (("tilt",),),
    (("mouth",),),
    (("smile",), ("corners",), ("lips",), ("cheeks",)),
    (("wink", "wide", "lids"),),
    (("gaze",),),
    (("gaze_height",),),
    (("brows",), ("nose",)),
    (("light",),),
    (("light_height",),),
)
"""The sentences of a caption, each a row of choices; of the attributes of one choice, at most one is stated. An
attribute that pictures often leave open has a sentence of its own: after a comma, the model would have to weigh all
that may follow at once.
"""

CAUTION = 0.985
"""A value is stated if the chance that it is right exceeds this times the chance that silence is right."""


class Piece(NamedTuple):
    """A piece of a caption and the weight of its tokens in training."""

    text: str
    weight: float


def caption(
    attributes: Attributes,
    rng: np.random.Generator,
    caution: float = CAUTION,
    predicted: Attributes | None = None,
) -> list[Piece]:
    """Draws a caption for training from all that are right; the same state of `rng` gives the same caption.

    `predicted` are the attributes that the model itself predicts for the face, if given, with a `caution` below 1: it
    then learns when to state its prediction and when to be silent (see `_outcomes`). Outcomes of a choice are drawn
    evenly and weighted by the sum over all of them, so that the likeliest word under the weighted cross entropy is the
    best one. A silent sentence keeps its full stop: silence is one token, which competes with the other first words.
    The first word settles the wording of the rest, so that synonyms do not compete.
    """
    style = int(rng.integers(2))
    pieces = [Piece(("a face", "a head")[style], 1.0)]
    pending, before = 1.0, " "
    for sentence in SENTENCES:
        for names in sentence:
            options, each, silence = _outcomes(attributes, predicted, names, caution)
            total = len(options) + silence / each
            place = rng.random() * total
            weight = pending * total * each
            if place >= len(options):
                pending = weight
                continue
            wordings = PHRASES[options[int(place)]]
            pieces.append(Piece(before + wordings[style % len(wordings)], weight))
            pending, before = 1.0, ", "
        pieces.append(Piece("." if before == ", " else " .", pending))
        pending, before = 1.0, " "
    return pieces


def tidy(text: str) -> str:
    """Formats a caption for reading: its statements as one sentence, without the full stops of silence."""
    sentences = ", ".join(part for sentence in text.split(".") if (part := sentence.strip()))
    return f"{sentences[0].upper()}{sentences[1:]}." if sentences else ""


def _outcomes(
    attributes: Attributes, predicted: Attributes | None, names: Sequence[str], caution: float
) -> tuple[list[Key], float, float]:
    """Lists the values of a choice that may be stated, the weight of each of them, and the weight of silence.

    A wrong value costs 1, and so does silence where a statement is required (`REQUIRED`; `turn` always); silence costs
    1 - `caution` elsewhere. The weight of an outcome is the cost of the worst one less its own: cost-sensitive
    classification, whose best decision is to state a value if the chance that it is right exceeds `caution` times the
    chance that silence is right.

    Without `predicted` all values are candidates, some of which are always wrong: values weigh 1, silence `caution`
    (here both over `caution`). With 0.99 against 0.985 the two are hardly told apart. With `predicted`, only the values
    that are right for the prediction are candidates. If there is one, the same rule asks whether it is right: weight 1
    where it is, and silence `caution` / (1 - `caution`) where it is not, here 66; the decision is the same, and the
    odds at 0.99 are 1.5 to 1 instead of 1.005 to 1. Where all candidates are equally bad, silence is the target.
    """
    needed = [name for name in names if name == "turn" or attributes.required(name)]
    right = [
        key for name in needed or names for key in _sayable(attributes, name, attributes.acceptable(name))
    ]
    if predicted is None or "turn" in names:
        return right, 1 / (caution or 1.0), 0.0 if needed else caution / (caution or 1.0)
    candidates = [key for name in names for key in _sayable(predicted, name, predicted.acceptable(name))]
    correct = [key for key in candidates if key in right]
    weight = 1 / (1 - caution)
    if len(correct) == len(candidates):
        return correct, weight if needed else 1.0, 0.0 if correct else 1.0
    if needed:
        return correct, weight, 0.0 if correct else 1.0
    return correct, weight, caution * weight


def _sayable(attributes: Attributes, name: str, values: Sequence[str]) -> list[Key]:
    """Lists the given values that have phrases and do not contradict other attributes."""
    lids = attributes.value("lids")
    if (name.startswith("gaze") and lids == "closed") or (name == "wide" and lids != "open"):
        return []
    keys = [(name, value) for value in values]
    if "level" not in attributes.acceptable("light_height"):
        keys = [key for key in keys if key != ("light", "even")]
    return [key for key in keys if key in PHRASES]


def parse(text: str) -> dict[str, str]:
    """Reads the statements of a caption, attribute to value. Other words are ignored; of repeats, the first counts."""
    rest = text.lower()
    statements: dict[str, str] = {}
    places: list[tuple[int, Key]] = []
    for phrase in _LONGEST_FIRST:
        while (place := rest.find(phrase)) >= 0:
            places.append((place, _MEANING[phrase]))
            rest = rest[:place] + "#" * len(phrase) + rest[place + len(phrase) :]
    for _, (name, value) in sorted(places):
        statements.setdefault(name, value)
    return statements
