"""Captions from attributes, and back: every phrase a caption can hold means exactly one value of one attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from facegpt.training.text.attributes import Attributes

Phrases = Mapping[tuple[str, str], Sequence[str]]

PHRASES: Phrases = {
    ("turn", "left"): ("turned to the left", "facing left"),
    ("turn", "right"): ("turned to the right", "facing right"),
    ("turn", "front"): ("facing the camera", "seen from the front"),
    ("nod", "up"): ("chin up", "tipped back"),
    ("nod", "down"): ("chin down", "bowed"),
    ("tilt", "left"): ("tilted to the left",),
    ("tilt", "right"): ("tilted to the right",),
    ("mouth", "closed"): ("the mouth is closed",),
    ("mouth", "slightly open"): ("the mouth is slightly open", "the lips are parted"),
    ("mouth", "open"): ("the mouth is open",),
    ("mouth", "wide open"): ("the mouth is wide open",),
    ("smile", "slight"): ("with a slight smile",),
    ("smile", "broad"): ("with a broad smile",),
    ("corners", "down"): ("with the corners of the mouth down",),
    ("lips", "pursed"): ("with pursed lips",),
    ("cheeks", "puffed"): ("with puffed cheeks",),
    ("lids", "open"): ("the eyes are open",),
    ("lids", "half closed"): ("the eyes are half closed",),
    ("lids", "closed"): ("the eyes are closed",),
    ("wink", "one closed"): ("one eye is closed",),
    ("wide", "wide"): ("the eyes are wide",),
    ("gaze", "left"): ("glancing left",),
    ("gaze", "right"): ("glancing right",),
    ("gaze_height", "up"): ("glancing up",),
    ("gaze_height", "down"): ("glancing down",),
    ("brows", "raised"): ("the brows are raised",),
    ("brows", "lowered"): ("the brows are lowered",),
    ("nose", "wrinkled"): ("the nose is wrinkled",),
    ("light", "left"): ("light from the left",),
    ("light", "right"): ("light from the right",),
    ("light", "even"): ("even light",),
    ("light_height", "above"): ("light from above",),
    ("light_height", "below"): ("light from below",),
}

_MEANING = {phrase: key for key, phrases in PHRASES.items() for phrase in phrases}
_LONGEST_FIRST = sorted(_MEANING, key=len, reverse=True)


MENTION = 0.51
"""How often a caption says what it might leave out.

A model that learns such captions and says what is likeliest is silent where it is not sure: a value is said if its
probability times this exceeds the probability of silence.
"""

MENTION_REQUIRED = 0.65
"""How often a training caption says what is beyond doubt and has to be said.

Always would be too often: whoever learns it says "closed" of eyes that are as likely open, since the other
possibilities share the rest. With this share, silence is likelier where the odds are about even.
"""


def caption(
    attributes: Attributes,
    rng: np.random.Generator,
    mention: float = MENTION,
    required: float = MENTION_REQUIRED,
) -> str:
    """One to six short sentences; the same generator state gives the same caption.

    Where the head faces is always said; of what is beyond doubt and may not be left out (`REQUIRED`) a share
    `required`, of all else a share `mention`. The first word settles the wording of the rest, so that different words
    for one thing do not compete with each other, or with silence.
    """
    style = int(rng.integers(2))

    def phrase(name: str) -> str:
        share = required if attributes.required(name) else mention
        said = name == "turn" or rng.random() < share
        options = PHRASES.get((name, attributes.value(name)), ()) if said else ()
        return options[style % len(options)] if options else ""

    def listed(*names: str) -> str:
        return ", ".join(p for name in names if (p := phrase(name)))

    closed = attributes.value("lids") == "closed"
    eyes = phrase("wink") or (phrase("wide") if attributes.value("lids") == "open" else "") or phrase("lids")
    gaze = "" if closed else listed("gaze", "gaze_height")
    uneven = attributes.value("light") != "even" or not PHRASES.get(
        ("light_height", attributes.value("light_height"))
    )
    sentences = [
        f"{('a face', 'a head')[style]} {listed('turn', 'nod', 'tilt')}",
        listed("mouth", "smile", "corners", "lips", "cheeks"),
        ", ".join(part for part in (eyes, gaze) if part),
        phrase("brows"),
        phrase("nose"),
        listed(*(("light", "light_height") if uneven else ("light_height",))),
    ]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences if sentence)


def parse(text: str) -> dict[str, str]:
    """What a caption states: attribute to value. Words that are no known phrase are ignored; of repeats, the
    first counts.
    """
    rest = text.lower()
    found: dict[str, str] = {}
    places: list[tuple[int, tuple[str, str]]] = []
    for known in _LONGEST_FIRST:
        while (place := rest.find(known)) >= 0:
            places.append((place, _MEANING[known]))
            rest = rest[:place] + "#" * len(known) + rest[place + len(known) :]
    for _, (name, value) in sorted(places):
        found.setdefault(name, value)
    return found
