"""Descriptions to make faces from: form, expression, pose and light of a face, in many wordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facegpt.language.attributes import SCALES, Attributes
from facegpt.language.captions import PHRASES, Phrases
from facegpt.language.features import FEATURES, FORM

FORMS: Phrases = {
    ("face", "low"): ("narrow face", "slim face", "long face"),
    ("face", "high"): ("broad face", "wide face", "round face"),
    ("jaw", "low"): ("narrow jaw", "pointed jaw"),
    ("jaw", "high"): ("broad jaw", "wide jaw", "square jaw"),
    ("chin", "low"): ("short chin", "small chin"),
    ("chin", "high"): ("long chin", "tall chin"),
    ("nose_length", "low"): ("short nose",),
    ("nose_length", "high"): ("long nose",),
    ("nose_width", "low"): ("narrow nose", "thin nose"),
    ("nose_width", "high"): ("broad nose", "wide nose"),
    ("mouth_width", "low"): ("narrow mouth", "small mouth"),
    ("mouth_width", "high"): ("broad mouth", "wide mouth"),
    ("lip_height", "low"): ("thin lips",),
    ("lip_height", "high"): ("full lips", "thick lips"),
    ("eye_distance", "low"): ("close-set eyes", "eyes close together"),
    ("eye_distance", "high"): ("wide-set eyes", "eyes far apart"),
}
OTHER_WORDS: Phrases = {
    ("turn", "left"): ("looking left", "looking to the left", "head turned left"),
    ("turn", "right"): ("looking right", "looking to the right", "head turned right"),
    ("turn", "front"): ("looking at the camera", "frontal"),
    ("nod", "up"): ("looking up", "head tipped back"),
    ("nod", "down"): ("looking down", "head bowed"),
    ("mouth", "closed"): ("mouth closed", "mouth shut"),
    ("mouth", "slightly open"): ("mouth slightly open", "lips parted"),
    ("mouth", "open"): ("mouth open",),
    ("mouth", "wide open"): ("mouth wide open",),
    ("smile", "slight"): ("smiling slightly", "little smile"),
    ("smile", "broad"): ("smiling broadly", "big smile"),
    ("corners", "down"): ("frowning mouth",),
    ("lids", "open"): ("eyes open",),
    ("lids", "half closed"): ("eyes half closed",),
    ("lids", "closed"): ("eyes closed", "eyes shut"),
    ("wink", "one closed"): ("winking", "a wink"),
    ("wide", "wide"): ("eyes wide open", "eyes wide"),
    ("gaze", "left"): ("eyes to the left", "glancing left"),
    ("gaze", "right"): ("eyes to the right", "glancing right"),
    ("gaze_height", "up"): ("glancing up",),
    ("gaze_height", "down"): ("glancing down",),
    ("brows", "raised"): ("brows raised", "eyebrows raised", "raised eyebrows"),
    ("brows", "lowered"): ("brows lowered", "lowered eyebrows"),
    ("light", "left"): ("light from the left", "lit from the left"),
    ("light", "right"): ("light from the right", "lit from the right"),
    ("light_height", "above"): ("light from above", "lit from above"),
    ("light_height", "below"): ("lit from below",),
}
NAMEABLE = PHRASES.keys() - {("light", "even")}
"""Even light is an absence of sides; beside "light from above" it would be a contradiction."""
ORDINARY = {("turn", "front"), ("mouth", "closed"), ("lids", "open")}
"""What most faces have, and what faces have by default."""
OPENINGS = ("", "a face", "a head", "a person's face")
ARTICLES = ("", "a ", "with a ", "with ")
MOST = 5
"""How many values a description names at most."""

Named = tuple[str, str]


@dataclass(frozen=True)
class Description:
    """A description: its text, and the values of attributes and features that it names."""

    text: str
    named: tuple[Named, ...]


def describe_face(
    attributes: Attributes, form: Mapping[str, float], rng: np.random.Generator, favour: float = 1.0
) -> Description:
    """Draws a description that names one to `MOST` certain values; `form` has z scores by feature.

    Values of expression, pose and light, unless `ORDINARY`, are `favour` times as likely to be named as others: closed
    eyes are rare, and have to be learned as well.
    """
    candidates = [
        (name, attributes.value(name))
        for name in SCALES
        if attributes.certain(name) and (name, attributes.value(name)) in NAMEABLE
    ]
    if not candidates or rng.random() < 0.9:
        candidates += [
            (name, FORM.nearest(z))
            for name, z in form.items()
            if len(FORM.acceptable(z)) == 1 and FORM.nearest(z) != "middle"
        ]
    count = min(len(candidates), 1 + int(rng.integers(MOST)))
    chances = np.array(
        [favour if name in SCALES and (name, value) not in ORDINARY else 1.0 for name, value in candidates]
    )
    named: tuple[Named, ...] = ()
    if candidates:
        indices = rng.choice(len(candidates), count, replace=False, p=chances / chances.sum())
        named = tuple(candidates[int(place)] for place in indices)
    parts = [_worded(key, rng) for key in named]
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    return Description(", ".join([opening, *parts] if opening else parts), named)


def present(description: Description, attributes: Attributes, form: Mapping[str, float]) -> list[bool]:
    """Tells of each named value whether the face has it; near a boundary both neighbours count, as in captions."""
    return [
        value in (FORM.acceptable(form[name]) if name in FEATURES else attributes.acceptable(name))
        for name, value in description.named
    ]


def named_ranges(description: Description) -> list[tuple[float, float]]:
    """Bounds each attribute, then each feature, for which the description is true, in units of its scale's margin;
    infinite where it names none.
    """
    named = dict(description.named)
    scales = {**SCALES, **dict.fromkeys(FEATURES, FORM)}
    return [
        (low / scale.margin, high / scale.margin)
        for name, scale in scales.items()
        for low, high in [scale.range(named[name]) if name in named else (float("-inf"), float("inf"))]
    ]


def _worded(key: Named, rng: np.random.Generator) -> str:
    """Draws one of the wordings of a value, with an article where its last word is a noun that takes one."""
    options: Sequence[str] = (*PHRASES.get(key, ()), *OTHER_WORDS.get(key, ()), *FORMS.get(key, ()))
    words = options[int(rng.integers(len(options)))]
    noun = words.split()[-1] in {"face", "jaw", "chin", "nose", "mouth", "smile"}
    return (ARTICLES[int(rng.integers(len(ARTICLES)))] if noun else "") + words
