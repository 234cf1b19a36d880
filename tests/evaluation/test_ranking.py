"""ROC AUC and rank correlation against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facegpt.evaluation.ranking import action_auc, rank_correlation, roc_auc


def test_auc_is_the_share_of_pairs_in_order_with_ties_as_halves() -> None:
    # Positives 0.8, 0.5; negatives 0.5, 0.2, 0.9. Pairs: 0.8 beats 2 of 3; 0.5 beats 1 and ties with 1.
    scores = np.array([0.8, 0.5, 0.5, 0.2, 0.9])
    positive = np.array([True, True, False, False, False])
    assert roc_auc(scores, positive) == pytest.approx((2 + 1.5) / 6)


@pytest.mark.parametrize(
    ("scores", "expected"), [((0, 1, 2, 3), 1.0), ((3, 2, 1, 0), 0.0), ((1, 1, 1, 1), 0.5)]
)
def test_auc_of_perfect_reversed_and_constant_scores(scores: tuple[float, ...], expected: float) -> None:
    assert roc_auc(np.array(scores, float), np.array([False, False, True, True])) == expected


def test_auc_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="0 negatives"):
        roc_auc(np.array([0.1, 0.2]), np.array([True, True]))


def test_actions_come_by_how_often_they_are_active() -> None:
    names = ("never", "often", "always", "once")
    true = np.array([[0.0, 0.5, 0.9, 0.0], [0.39, 0.4, 0.9, 0.0], [0.0, 0.1, 0.9, 0.7], [0.0, 0.0, 0.4, 0.0]])
    found = action_auc(true, true, names)
    assert list(found) == ["often", "once"], "an action that never or always acts has no AUC"
    assert found == {"often": 1.0, "once": 1.0}
    assert list(action_auc(true, true, names, count=1)) == ["often"]


def test_rank_correlation_sees_order_alone() -> None:
    values = np.arange(10.0)
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -np.exp(values)) == pytest.approx(-1)
