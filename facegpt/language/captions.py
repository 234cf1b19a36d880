"""Captions from attributes, and back: every phrase a caption can hold means exactly one value of one attribute."""

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
"""Values of one attribute that are easily confused differ in their first word: that is where decoding decides."""

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
"""A caption's sentences, each a row of choices; of the attributes of one choice, one at most is said. What a picture
often leaves open has a sentence of its own: a comma would be weighed for all that may follow it together.
"""

CAUTION = 0.985
"""A value is said if the chance that it may be said exceeds this times the chance that nothing need be said."""


class Piece(NamedTuple):
    """A stretch of a caption, and how much its tokens count in training."""

    text: str
    weight: float


def caption(
    attributes: Attributes,
    rng: np.random.Generator,
    caution: float = CAUTION,
    own: Attributes | None = None,
) -> list[Piece]:
    """A caption to learn from, drawn at random from all that would be right; the same generator state gives the same.

    `own` is what the speaker takes the face for, if that is known, and `caution` is below 1 then: it learns when to
    say so, and when to be silent (see `_outcomes`). Outcomes of a choice are drawn evenly and weighted by the sum of
    what could be drawn, so that the likeliest word under the weighted cross entropy is the best one. A silent sentence
    keeps its full stop, which makes silence one token, to be weighed against the other first words. The first word
    settles the wording of the rest, so that different words for one thing do not compete.
    """
    style = int(rng.integers(2))
    pieces = [Piece(("a face", "a head")[style], 1.0)]
    pending, before = 1.0, " "
    for sentence in SENTENCES:
        for names in sentence:
            options, each, silence = _outcomes(attributes, own, names, caution)
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
    """A caption as people read it: what is said as one sentence, silence left out."""
    said = ", ".join(part for sentence in text.split(".") if (part := sentence.strip()))
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _outcomes(
    attributes: Attributes, own: Attributes | None, names: Sequence[str], caution: float
) -> tuple[list[Key], float, float]:
    """Of a choice between attributes: the values worth saying, what each of them counts, and what silence counts.

    A wrong value costs 1, and so does silence where something has to be said (`REQUIRED`; where the head faces
    always); silence costs 1 - `caution` elsewhere. An outcome counts what it costs less than the worst one: cost-
    sensitive classification, whose best decision is to say a value if the chance that it may be said exceeds `caution`
    times the chance that nothing need be said.

    Without `own` all values are open, of which one is always wrong: values count 1, silence `caution`, here over
    `caution`. With 0.99 against 0.985 that decides hardly more than noise does. Of the speaker's own view only the
    values are open that it may say of that. If that is one, the same rule asks whether it is right: 1 where it is,
    and silence `caution` / (1 - `caution`) where it is not, here 66; the decision is the same, and the odds at 0.99
    are 1.5 to 1, not 1.005. Where all are equally bad it should rather be silent.
    """
    needed = [name for name in names if name == "turn" or attributes.required(name)]
    right = [
        key for name in needed or names for key in _sayable(attributes, name, attributes.acceptable(name))
    ]
    if own is None or "turn" in names:
        return right, 1 / (caution or 1.0), 0.0 if needed else caution / (caution or 1.0)
    open_ones = [key for name in names for key in _sayable(own, name, own.acceptable(name))]
    best = [key for key in open_ones if key in right]
    stake = 1 / (1 - caution)
    if len(best) == len(open_ones):
        return best, stake if needed else 1.0, 0.0 if best else 1.0
    if needed:
        return best, stake, 0.0 if best else 1.0
    return best, stake, caution * stake


def _sayable(attributes: Attributes, name: str, values: Sequence[str]) -> list[Key]:
    """Those values of an attribute that there are words for, and that make sense beside the others."""
    lids = attributes.value("lids")
    if (name.startswith("gaze") and lids == "closed") or (name == "wide" and lids != "open"):
        return []
    keys = [(name, value) for value in values]
    if "level" not in attributes.acceptable("light_height"):
        keys = [key for key in keys if key != ("light", "even")]
    return [key for key in keys if key in PHRASES]


def parse(text: str) -> dict[str, str]:
    """What a caption states: attribute to value. Words that are no known phrase are ignored; of repeats, the
    first counts.
    """
    rest = text.lower()
    found: dict[str, str] = {}
    places: list[tuple[int, Key]] = []
    for known in _LONGEST_FIRST:
        while (place := rest.find(known)) >= 0:
            places.append((place, _MEANING[known]))
            rest = rest[:place] + "#" * len(known) + rest[place + len(known) :]
    for _, (name, value) in sorted(places):
        found.setdefault(name, value)
    return found
