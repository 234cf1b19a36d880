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
    ("corners", "down"): ("with its corners down",),
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


def caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """One to five short sentences, 10-35 words; the same generator state gives the same caption.

    Near a boundary one of the acceptable values is said at random, so that the text does not pretend to be sure.
    """

    def said(name: str) -> str:
        options = attributes.acceptable(name)
        return options[int(rng.integers(len(options)))]

    def phrase(name: str, value: str) -> str:
        options = PHRASES.get((name, value), ())
        return options[int(rng.integers(len(options)))] if options else ""

    def listed(first: str, *names: str) -> str:
        return ", ".join([first, *(p for name in names if (p := phrase(name, said(name))))])

    head = ("a face", "a head")[int(rng.integers(2))]
    sentences = [f"{head} {listed(phrase('turn', said('turn')), 'nod', 'tilt')}"]
    sentences.append(listed(phrase("mouth", said("mouth")), "smile", "corners", "lips", "cheeks"))
    wink = phrase("wink", said("wink"))
    wide = phrase("wide", said("wide"))
    lids = said("lids")
    eyes = wink or (wide if wide and lids == "open" else phrase("lids", lids))
    sentences.append(listed(eyes, "gaze", "gaze_height") if lids != "closed" else eyes)
    sentences += [p for name in ("brows", "nose") if (p := phrase(name, said(name)))]
    light, height = said("light"), phrase("light_height", said("light_height"))
    if light == "even" and height:
        sentences.append(height)
    else:
        sentences.append(listed(phrase("light", light)) + (f", {height}" if height else ""))
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


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
