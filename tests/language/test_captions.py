"""Captions, their inverse, and agreement: what is said is true, what is false is caught."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import torch

from facegpt.language.agreement import agreement
from facegpt.language.attributes import SCALES, Attributes, Scale, describe
from facegpt.language.captions import CAUTION, PHRASES, SENTENCES, caption, parse, tidy
from facegpt.language.dialogues import CHAT, answer
from facegpt.morphable import Theta, bundled
from facegpt.synthetic.sampling import rotation_matrix, sample_lighting
from facegpt.synthetic.sampling import sample_expression as draw

NAMES = bundled().expression_names
SWAPPED = {"left": "right", "right": "left"}


def seen(strengths: dict[str, float], rotation: np.ndarray, light: np.ndarray) -> Attributes:
    vector = cv2.Rodrigues(rotation)[0].reshape(1, 3)
    zeros = torch.zeros(1, 3)
    theta = Theta(
        zeros,
        torch.tensor([list(strengths.values())], dtype=torch.float32),
        zeros,
        torch.from_numpy(light.reshape(1, 27)).float(),
        torch.from_numpy(vector).float(),
        zeros,
    )
    return describe(theta, NAMES)[0]


def face(
    yaw: float = 0, pitch: float = 0, roll: float = 0, light: np.ndarray | None = None, **acts: float
) -> Attributes:
    strengths = dict.fromkeys(NAMES, 0.0) | acts
    even = np.zeros((9, 3))
    even[0] = 3.0
    rotation = rotation_matrix(*np.deg2rad([yaw, pitch, roll]))
    return seen(strengths, rotation, even if light is None else light)


def random_face(rng: np.random.Generator) -> Attributes:
    strengths = dict(zip(NAMES, map(float, draw(rng, NAMES)), strict=True))
    rotation = rotation_matrix(*(rng.normal(size=3) * [0.4, 0.2, 0.2]))
    return seen(strengths, rotation, sample_lighting(rng))


def drawn(attributes: Attributes, rng: np.random.Generator, caution: float = CAUTION) -> str:
    return tidy("".join(piece.text for piece in caption(attributes, rng, caution)))


def test_every_caption_of_random_faces_agrees_with_its_face() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        attributes = random_face(rng)
        result = agreement(drawn(attributes, rng), attributes)
        assert result.strict and result.share == 1


def test_captions_are_deterministic_and_varied() -> None:
    attributes = face(yaw=30, jawOpen=0.5)
    assert caption(attributes, np.random.default_rng(3)) == caption(attributes, np.random.default_rng(3))
    assert len({drawn(attributes, np.random.default_rng(seed)) for seed in range(30)}) > 2


def test_only_what_may_be_left_out_is_left_out() -> None:
    attributes = face(yaw=40, jawOpen=0.9, mouthSmileLeft=0.9, mouthSmileRight=0.9, browInnerUp=0.9)
    rng = np.random.default_rng(2)
    said = [parse(drawn(attributes, rng)) for _ in range(300)]
    needed = {"turn": "right", "mouth": "wide open", "smile": "broad"}
    assert all(needed.items() <= one.items() for one in said)
    assert abs(np.mean(["brows" in one for one in said]) - 1 / (1 + CAUTION)) < 0.1
    assert parse(drawn(attributes, rng, caution=1e9)) == needed


def test_every_right_outcome_counts_equally() -> None:
    """The weighted share of an outcome is the same whether one, two or three outcomes are right."""
    rng = np.random.default_rng(4)

    def shares(attributes: Attributes) -> dict[str, float]:
        found: dict[str, float] = {}
        for _ in range(4000):
            pieces = caption(attributes, rng)
            first = [i for i, piece in enumerate(pieces) if piece.text.endswith(".")][2] + 1
            word = pieces[first].text
            found[word] = found.get(word, 0) + pieces[first].weight / 4000
        return {word: share for word, share in found.items() if word not in {" parted lips"}}

    one, two, needed = (shares(face(jawOpen=jaw)) for jaw in (0.0, 0.13, 0.53))
    assert set(one) == {" closed mouth", " ."} and set(needed) == {" open mouth"}
    assert set(two) == {" closed mouth", " slightly open mouth", " ."}
    assert abs(one[" ."] - 1) < 0.1 and abs(two[" ."] - 1) < 0.15
    for found in (one, two):
        assert abs(found[" closed mouth"] - 1 / CAUTION) < 0.15
    assert abs(needed[" open mouth"] - 1 / CAUTION) < 1e-6


def test_of_its_own_view_a_speaker_says_what_is_right() -> None:
    rng = np.random.default_rng(6)
    for _ in range(400):
        true, own = random_face(rng), random_face(rng)
        said = parse("".join(piece.text for piece in caption(true, rng, predicted=own)))
        assert said and not agreement(tidy(" ".join(PHRASES[key][0] for key in said.items())), true).wrong
        assert all(value in own.acceptable(name) for name, value in said.items() if name != "turn")


def mouth_counts(true: Attributes, predicted: Attributes) -> tuple[str, float]:
    """What a caption says of the mouth, and how much that counts."""
    pieces = caption(true, np.random.default_rng(0), predicted=predicted)
    first = [i for i, piece in enumerate(pieces) if piece.text.endswith(".")][2] + 1
    return pieces[first].text, pieces[first].weight


@pytest.mark.parametrize(("right", "odds"), [(0.97, 0.49), (0.985, 1.0), (0.99, 1.51), (0.995, 3.03)])
def test_a_view_is_worth_words_if_it_is_right_often_enough(right: float, odds: float) -> None:
    """Where the speaker sees a closed mouth and is right so often, words count so many times what silence does."""
    words, sure = mouth_counts(face(), predicted=face())
    silence, doubt = mouth_counts(face(jawOpen=0.25), predicted=face())
    assert words.endswith(" closed mouth") and silence == " ."
    assert right * sure / ((1 - right) * doubt) == pytest.approx(odds, abs=0.01)


def test_what_must_be_said_is_worth_words_even_in_doubt() -> None:
    wide, slight, closed = (face(jawOpen=jaw) for jaw in (0.9, 0.25, 0.0))
    words, needed = mouth_counts(wide, predicted=wide)
    assert words == " wide open mouth" and needed == pytest.approx(1 / (1 - CAUTION))
    assert mouth_counts(wide, predicted=closed) == (" .", 1.0)
    assert mouth_counts(slight, predicted=wide) == (" .", pytest.approx(CAUTION / (1 - CAUTION)))


def test_between_two_values_the_right_one_outweighs_silence() -> None:
    """A speaker unsure of a parted mouth or an open one: both are open, and each counts where the other is wrong."""
    between, parted, wide = face(jawOpen=0.4), face(jawOpen=0.25), face(jawOpen=0.53)
    drawn_of = [caption(parted, np.random.default_rng(seed), predicted=between) for seed in range(300)]
    staked = [piece for pieces in drawn_of for piece in pieces if piece.weight > 2]
    assert len(staked) >= len(drawn_of)
    assert all(piece.weight == pytest.approx((1 + CAUTION) / (1 - CAUTION)) for piece in staked)
    assert {piece.text for piece in staked} == {" .", " slightly open mouth", " parted lips"}
    assert abs(np.mean([piece.text != " ." for piece in staked]) - 1 / (1 + CAUTION)) < 0.1
    words, needed = mouth_counts(wide, predicted=between)
    assert words == " open mouth" and needed == pytest.approx(1 / (1 - CAUTION))


def test_what_needs_no_words_may_be_near_what_does() -> None:
    relaxed, near = face(), face(browInnerUp=0.3)
    said = {"".join(piece.text for piece in caption(near, np.random.default_rng(0), predicted=near))}
    said_relaxed = {
        "".join(piece.text for piece in caption(near, np.random.default_rng(0), predicted=relaxed))
    }
    assert all("raised brows" in one for one in said) and all("brows" not in one for one in said_relaxed)


def test_what_is_easily_confused_differs_in_its_first_word() -> None:
    """Decoding word by word weighs silence against each of them, never against all of them together."""
    for name in ("mouth", "smile", "lids", "gaze", "gaze_height", "brows", "light"):
        phrases = [words for (attribute, _), words in PHRASES.items() if attribute == name]
        for style in range(2):
            first = [words[style % len(words)].split()[0] for words in phrases]
            assert len(set(first)) == len(first)


def test_a_silent_sentence_is_a_full_stop_that_nobody_reads() -> None:
    said = "".join(piece.text for piece in caption(face(), np.random.default_rng(0), caution=1e9))
    silence = "." + " ." * (len(SENTENCES) - 1)
    assert said.endswith((f"facing the camera{silence}", f"seen from the front{silence}"))
    assert tidy("a face facing left. . broad smile. . . ") == "A face facing left, broad smile."
    assert tidy("") == "" and tidy("A face.") == "A face."


def test_the_first_words_settle_the_wording() -> None:
    attributes = face(yaw=40, jawOpen=0.25)
    rng = np.random.default_rng(3)
    whole = {drawn(attributes, rng, caution=0) for _ in range(30)}
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
        texts = [drawn(attributes, np.random.default_rng(seed), caution=0) for seed in range(8)]
        assert any(parse(text).get(name) == value for text in texts)


@pytest.mark.parametrize(
    ("band", "sign", "name", "value"), [(3, 1, "light", "right"), (1, 1, "light_height", "above")]
)
def test_light_comes_from_where_it_is_brightest(band: int, sign: int, name: str, value: str) -> None:
    light = np.zeros((9, 3))
    light[0], light[band] = 3.0, sign * 1.5
    assert face(light=light).acceptable(name) == (value,)


def test_false_and_missing_statements_are_caught() -> None:
    attributes = face(yaw=40, jawOpen=0.9)
    wrong = agreement("A face turned to the left. Wide open mouth.", attributes)
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


def test_a_range_is_where_a_value_is_beyond_doubt() -> None:
    for scale in SCALES.values():
        for value in scale.values:
            low, high = scale.range(value)
            assert all(scale.acceptable(x) == (value,) for x in (low + 1e-3, high - 1e-3) if abs(x) < 1e9)
            assert all(len(scale.acceptable(x)) == 2 for x in (low - 1e-3, high + 1e-3) if abs(x) < 1e9)


def test_parse_reads_the_longest_phrase() -> None:
    assert parse("Slightly open mouth.") == {"mouth": "slightly open"}
    assert parse("Half closed eyes. Upward gaze.") == {"lids": "half closed", "gaze_height": "up"}
    assert parse("Nonsense of a small model") == {}


def test_no_words_about_who_a_person_is() -> None:
    rng = np.random.default_rng(1)
    text = " ".join(drawn(random_face(rng), rng) for _ in range(100)).lower()
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
