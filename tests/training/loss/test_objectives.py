"""What the stages descend: the terms that look at what captions speak of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facegpt.language.attributes import SCALES
from facegpt.morphable import Theta, bundled
from facegpt.synthetic.faces import render_faces
from facegpt.training.config import TrainConfig
from facegpt.training.data.pool import Batch, take
from facegpt.training.loss.objectives import STRESS, Objectives

OBJECTIVES = Objectives(TrainConfig(output="run"), bundled())


@pytest.fixture(scope="module")
def batch() -> Batch:
    return take(render_faces(bundled(), seed=4, count=8), torch.arange(8).numpy())


def visible(batch: Batch, theta: Theta) -> float:
    return float(OBJECTIVES._face(batch, theta.flat(), torch.zeros(len(theta)))["visible"])


def moved(theta: Theta, actions: tuple[str, ...]) -> Theta:
    """The face with these actions half as strong, and half of full strength more."""
    expression = theta.expression.clone()
    for name in actions:
        place = bundled().expression_names.index(name)
        expression[:, place] = (expression[:, place] + 1) / 2
    return replace(theta, expression=expression)


def test_nothing_visible_is_wrong_at_the_truth(batch: Batch) -> None:
    assert visible(batch, batch.theta) < 1e-6


def test_what_must_be_said_counts_more(batch: Batch) -> None:
    frown = visible(batch, moved(batch.theta, ("mouthFrownLeft", "mouthFrownRight")))
    smile = visible(batch, moved(batch.theta, ("mouthSmileLeft", "mouthSmileRight")))
    assert smile > frown > 0.01


def test_an_error_counts_by_its_margin(batch: Batch) -> None:
    """One unit of a Huber loss beyond the first margin, times the attribute's share."""
    pursed = replace(batch.theta, expression=batch.theta.expression * 0)
    place = bundled().expression_names.index("jawOpen")
    opened = pursed.expression.clone()
    opened[:, place] = 3.0 * SCALES["mouth"].margin
    own = replace(batch, theta=pursed)
    share = STRESS / (len(SCALES) + (STRESS - 1) * 4)
    assert visible(own, replace(pursed, expression=opened)) == pytest.approx(share * (3.0 - 0.5), rel=1e-4)
