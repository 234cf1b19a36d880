"""Descriptions name what is there, and forms are measured against the mean face."""

from __future__ import annotations

import numpy as np
import torch

from facegpt.language.attributes import SCALES, Attributes, describe
from facegpt.language.captions import PHRASES
from facegpt.language.descriptions import (
    FORMS,
    ORDINARY,
    OTHER_WORDS,
    Description,
    describe_face,
    named_ranges,
    present,
)
from facegpt.language.features import FEATURES, FORM, FormMeasures
from facegpt.morphable import bundled
from facegpt.morphable.point_subset import LossPoints
from facegpt.synthetic.sampling import sample_face, stack

MODEL = bundled()
MEASURE = FormMeasures(LossPoints(MODEL, skin=0))


def faces(count: int) -> list[tuple[Attributes, dict[str, float]]]:
    rng = np.random.default_rng(0)
    theta = stack([sample_face(rng, MODEL) for _ in range(count)])
    forms = MEASURE(theta.shape).tolist()
    return [
        (attributes, dict(zip(FEATURES, form, strict=True)))
        for attributes, form in zip(describe(theta, MODEL.expression_names), forms, strict=True)
    ]


def test_the_mean_face_has_no_form_and_random_ones_spread_by_one() -> None:
    assert MEASURE(torch.zeros(1, MODEL.n_shape)).abs().max() < 1e-4
    shapes = torch.randn(4000, MODEL.n_shape, generator=torch.Generator().manual_seed(9))
    spread = MEASURE(shapes).square().mean(0).sqrt()
    assert ((spread > 0.93) & (spread < 1.07)).all()


def test_a_longer_nose_measures_longer() -> None:
    """Moving along the gradient of a measure raises it and what is named follows."""
    shape = torch.zeros(1, MODEL.n_shape, requires_grad=True)
    place = list(FEATURES).index("nose_length")
    MEASURE(shape)[0, place].backward()
    assert shape.grad is not None
    longer = shape.detach() + 1.5 * shape.grad / shape.grad.square().sum()
    form = dict(zip(FEATURES, MEASURE(longer)[0].tolist(), strict=True))
    assert form["nose_length"] > 1.2
    named = Description("long nose", (("nose_length", "high"), ("jaw", "low")))
    assert present(named, faces(1)[0][0], form) == [True, form["jaw"] < -0.7]


def test_a_description_is_true_of_its_face_and_deterministic() -> None:
    rng, lengths = np.random.default_rng(1), set[int]()
    for attributes, form in faces(300):
        described = describe_face(attributes, form, rng)
        assert all(present(described, attributes, form)) and described.text
        lengths.add(len(described.named))
    assert lengths == {1, 2, 3, 4, 5}
    attributes, form = faces(1)[0]
    again = [describe_face(attributes, form, np.random.default_rng(3)) for _ in range(2)]
    assert again[0] == again[1]


def test_what_is_favoured_is_named_more_often() -> None:
    def rare(favour: float) -> int:
        rng = np.random.default_rng(2)
        named = [key for face in faces(300) for key in describe_face(*face, rng, favour).named]
        return sum(name in SCALES and (name, value) not in ORDINARY for name, value in named)

    assert rare(6.0) > 1.3 * rare(1.0)


def test_of_a_face_that_is_all_doubt_nothing_is_named() -> None:
    attributes = Attributes({name: scale.boundaries[0] for name, scale in SCALES.items()})
    form = dict.fromkeys(FEATURES, FORM.boundaries[0])
    assert describe_face(attributes, form, np.random.default_rng(0), 6.0).named == ()


def test_a_described_face_lies_where_its_description_says() -> None:
    rng = np.random.default_rng(5)
    for attributes, form in faces(50):
        ranges = named_ranges(describe_face(attributes, form, rng))
        margins = [scale.margin for scale in SCALES.values()] + [FORM.margin] * len(FEATURES)
        values = [*attributes.measures.values(), *form.values()]
        assert all(
            low <= value / margin <= high
            for (low, high), value, margin in zip(ranges, values, margins, strict=True)
        )
        assert 1 <= sum(np.isfinite(row).any() for row in ranges) <= 5


def test_a_wording_names_one_thing() -> None:
    tables = (PHRASES, OTHER_WORDS, FORMS)
    owners: dict[str, set[tuple[str, str]]] = {}
    for table in tables:
        for key, wordings in table.items():
            for words in wordings:
                owners.setdefault(words, set()).add(key)
    assert all(len(keys) == 1 for keys in owners.values())
    assert OTHER_WORDS.keys() <= PHRASES.keys()
    assert {name for name, _ in FORMS} == set(FEATURES)
