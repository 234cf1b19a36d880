"""Captions, their inverse, and agreement: what is said is true, what is false is caught."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facegpt.morphable import bundled
from facegpt.training.synthetic.sampling import rotation_matrix, sample_lighting
from facegpt.training.synthetic.sampling import sample_expression as draw
from facegpt.training.text.agreement import agreement
from facegpt.training.text.attributes import SCALES, Attributes, Scale, describe
from facegpt.training.text.captions import MENTION, MENTION_REQUIRED, PHRASES, caption, parse
from facegpt.training.text.dialogues import CHAT, answer

NAMES = bundled().expression_names
SWAPPED = {"left": "right", "right": "left"}


def face(
    yaw: float = 0, pitch: float = 0, roll: float = 0, light: np.ndarray | None = None, **acts: float
) -> Attributes:
    strengths = dict.fromkeys(NAMES, 0.0) | acts
    even = np.zeros((9, 3))
    even[0] = 3.0
    rotation = rotation_matrix(*np.deg2rad([yaw, pitch, roll]))
    return describe(strengths, rotation, even if light is None else light)


def random_face(rng: np.random.Generator) -> Attributes:
    strengths = dict(zip(NAMES, map(float, draw(rng, NAMES)), strict=True))
    rotation = rotation_matrix(*(rng.normal(size=3) * [0.4, 0.2, 0.2]))
    return describe(strengths, rotation, sample_lighting(rng))


def test_every_caption_of_random_faces_agrees_with_its_face() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        attributes = random_face(rng)
        result = agreement(caption(attributes, rng, required=1), attributes)
        assert result.strict and result.share == 1
        assert not agreement(caption(attributes, rng), attributes).wrong


def test_captions_are_deterministic_and_varied() -> None:
    attributes = face(yaw=30, jawOpen=0.5)
    assert caption(attributes, np.random.default_rng(3)) == caption(attributes, np.random.default_rng(3))
    assert len({caption(attributes, np.random.default_rng(seed)) for seed in range(30)}) > 2


def test_only_what_may_be_left_out_is_left_out() -> None:
    attributes = face(yaw=40, jawOpen=0.9, mouthSmileLeft=0.9, mouthSmileRight=0.9, browInnerUp=0.9)
    rng = np.random.default_rng(2)
    said = [parse(caption(attributes, rng)) for _ in range(200)]
    assert all(one["turn"] == "right" for one in said)
    for name, wanted in (("brows", MENTION), ("mouth", MENTION_REQUIRED), ("smile", MENTION_REQUIRED)):
        assert abs(np.mean([name in one for one in said]) - wanted) < 0.12
    assert set(parse(caption(attributes, rng, mention=0, required=1))) == {"turn", "mouth", "smile"}


def test_the_first_words_settle_the_wording() -> None:
    attributes = face(yaw=40, jawOpen=0.25)
    rng = np.random.default_rng(3)
    whole = {caption(attributes, rng, mention=1, required=1) for _ in range(30)}
    assert {text[:6] for text in whole} == {"A face", "A head"} and len(whole) == 2


@pytest.mark.parametrize(
    ("attributes", "name", "value"),
    [
        (face(yaw=40), "turn", "right"),
        (face(yaw=-40), "turn", "left"),
        (face(), "turn", "front"),
        (face(pitch=-30), "nod", "up"),
        (face(pitch=30), "nod", "down"),
        (face(roll=-30), "tilt", "right"),
        (face(roll=30), "tilt", "left"),
        (face(jawOpen=0.9), "mouth", "wide open"),
        (face(jawOpen=0.5), "mouth", "open"),
        (face(jawOpen=0.9, mouthClose=0.9), "mouth", "closed"),
        (face(mouthSmileLeft=0.9, mouthSmileRight=0.9), "smile", "broad"),
        (face(eyeBlinkLeft=1, eyeBlinkRight=1), "lids", "closed"),
        (face(eyeBlinkLeft=1), "wink", "one closed"),
        (face(browInnerUp=0.9), "brows", "raised"),
        (face(browDownLeft=0.9, browDownRight=0.9), "brows", "lowered"),
        (face(eyeLookOutLeft=0.8, eyeLookInRight=0.8), "gaze", "right"),
        (face(mouthPucker=0.9), "lips", "pursed"),
        (face(cheekPuff=0.9), "cheeks", "puffed"),
        (face(noseSneerLeft=0.9, noseSneerRight=0.9), "nose", "wrinkled"),
    ],
)
def test_attributes_mean_what_a_person_sees(attributes: Attributes, name: str, value: str) -> None:
    assert attributes.acceptable(name) == (value,)
    if (name, value) in PHRASES:
        assert parse(caption(attributes, np.random.default_rng(0), mention=1, required=1))[name] == value


@pytest.mark.parametrize(
    ("band", "sign", "name", "value"), [(3, 1, "light", "right"), (1, 1, "light_height", "above")]
)
def test_light_comes_from_where_it_is_brightest(band: int, sign: int, name: str, value: str) -> None:
    light = np.zeros((9, 3))
    light[0], light[band] = 3.0, sign * 1.5
    assert face(light=light).acceptable(name) == (value,)


def test_false_and_missing_statements_are_caught() -> None:
    attributes = face(yaw=40, jawOpen=0.9)
    wrong = agreement("A face turned to the left. The mouth is wide open.", attributes)
    assert wrong.wrong == ("turn",) and not wrong.strict and wrong.share == 0.5
    missing = agreement("A face turned to the right.", attributes)
    assert missing.missing == ("mouth",) and not missing.strict
    assert agreement("", attributes).share == 0 and not agreement("", face()).strict


def test_scales_accept_both_neighbours_at_a_boundary() -> None:
    scale = Scale(("low", "high"), (0.5,), 0.1)
    assert [scale.acceptable(v) for v in (0.3, 0.45, 0.55, 0.7)] == [
        ("low",),
        ("low", "high"),
        ("low", "high"),
        ("high",),
    ]
    assert all(len(s.values) == len(s.boundaries) + 1 for s in SCALES.values())


def test_parse_reads_the_longest_phrase() -> None:
    assert parse("The mouth is slightly open.") == {"mouth": "slightly open"}
    assert parse("The eyes are half closed, glancing up.") == {"lids": "half closed", "gaze_height": "up"}
    assert parse("Nonsense of a small model") == {}


def test_no_words_about_who_a_person_is() -> None:
    rng = np.random.default_rng(1)
    text = " ".join(caption(random_face(rng), rng) for _ in range(100)).lower()
    forbidden = r"\b(man|woman|male|female|boy|girl|he|she|his|her|old|young|age|asian|african|white|black)\b"
    assert not re.search(forbidden, text)


def test_answers_are_true() -> None:
    rng = np.random.default_rng(2)
    open_mouth = face(jawOpen=0.9, yaw=40)
    replies = dict(answer(open_mouth, rng) for _ in range(300))
    assert replies["is the mouth open"] == "Yes."
    assert replies["is the head turned to the left"] == "No."
    assert replies["which way does the head turn"] == "To the right."
    assert replies["how far is the mouth open"] == "Wide open."
    assert dict(CHAT)["who is this person"].startswith("I do not identify")
