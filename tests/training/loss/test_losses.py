"""Loss terms: nothing at the truth, and each block of theta moves the terms that it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facegpt.morphable import Theta, bundled
from facegpt.morphable.point_subset import LossPoints
from facegpt.synthetic.faces import render_faces
from facegpt.training.loss.losses import cross_entropy, energy, outside, theta_losses

POINTS = LossPoints(bundled())
GEOMETRY = {"landmarks"}
OWN = {
    "shape": GEOMETRY | {"shape", "surface"},
    "expression": GEOMETRY | {"expression"},
    "albedo": {"albedo", "colour"},
    "lighting": {"lighting", "colour"},
    "rotation_vector": GEOMETRY | {"rotation"},
    "translation": GEOMETRY | {"translation"},
}


@pytest.fixture(scope="module")
def true() -> Theta:
    return render_faces(bundled(), seed=12, count=8, size=112).theta


def test_nothing_is_lost_at_the_truth(true: Theta) -> None:
    terms, nme = theta_losses(true, true, None, POINTS, 112)
    assert all(abs(float(term)) < 1e-4 for term in terms.values()) and float(nme.max()) < 0.01


@pytest.mark.parametrize("block", OWN)
def test_each_block_moves_its_own_terms_alone(true: Theta, block: str) -> None:
    off = replace(true, **{block: getattr(true, block) * 0.9 + 0.02})
    terms = theta_losses(off, true, None, POINTS, 112)[0]
    assert {name for name, term in terms.items() if float(term) > 1e-4} == OWN[block]


def test_moving_the_whole_face_is_no_error_of_shape(true: Theta) -> None:
    """The surface term takes the translation out; the mean face's error is then its variance."""
    mean = replace(true, shape=torch.zeros_like(true.shape))
    terms = theta_losses(mean, true, None, POINTS, 112)[0]
    assert 0.6 < float(terms["surface"]) < 1.6
    assert float(terms["shape"]) == pytest.approx(float(true.shape.square().mean()))


def test_landmarks_are_measured_where_the_picture_shows_them(true: Theta) -> None:
    places = torch.full((8, 68, 2), 20.0)
    places[:, 36, 0], places[:, 45, 0] = 40, 80
    far = theta_losses(true, true, places, POINTS, 112)[1]
    assert float(far.min()) > 50


def test_cross_entropy_has_a_gradient_where_an_action_is_off() -> None:
    off = torch.full((1,), 0.02, requires_grad=True)
    cross_entropy(off, torch.tensor([0.8])).backward()
    assert off.grad is not None and float(off.grad) < -20


def test_the_energy_score_is_least_where_draws_spread_as_the_truth_does(true: Theta) -> None:
    """Neither the mean of the truth nor draws that spread twice as far are better than draws like the truth."""
    generator = torch.Generator().manual_seed(0)

    def normal(spread: float) -> Theta:
        return true[torch.zeros(6000, dtype=torch.long)].map(
            lambda t: spread * torch.randn(t.shape, generator=generator)
        )

    aim = normal(1.0)
    scores = {spread: float(energy(normal(spread), normal(spread), aim)) for spread in (0.0, 0.7, 1.0, 1.5)}
    assert min(scores, key=lambda spread: scores[spread]) == 1.0


def test_what_lies_outside_its_range_is_lost_and_nothing_else() -> None:
    inf = float("inf")
    ranges = torch.tensor([[[-inf, inf], [1.0, 2.0], [-inf, 0.0]]])
    assert float(outside(torch.tensor([[9.0, 1.5, -7.0]]), ranges)) == 0
    assert float(outside(torch.tensor([[9.0, 0.5, 3.0]]), ranges)) == pytest.approx((0.5 + 3) / 2)
    assert float(outside(torch.ones(1, 1), torch.tensor([[[-inf, inf]]]))) == 0
