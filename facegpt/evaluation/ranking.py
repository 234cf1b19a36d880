"""Measures that depend on the order of scores alone: ROC AUC and rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

ACTIVE = 0.4
"""From this strength on, an action counts as active: 2 of 5, as studies on DISFA (Mavadati et al., IEEE TAC 2013) count
an action unit of intensity 2 or more.
"""


def roc_auc(scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float:
    """Computes the area under the ROC curve: the chance that a positive scores above a negative, a tie counting half.

    From the sum of ranks (Hanley and McNeil, Radiology 143, 1982); tied scores share their mean rank. `scores` (N,),
    `positive` (N,) bool. Raises ValueError unless both classes are there.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise ValueError(f"{positives} positives and {negatives} negatives: an ROC curve needs both")
    above = float(rankdata(scores)[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def action_auc(
    predicted: NDArray[np.floating[Any]],
    true: NDArray[np.floating[Any]],
    names: Sequence[str],
    count: int = 20,
    active: float = ACTIVE,
) -> dict[str, float]:
    """Computes the ROC AUC of each of the `count` actions that are most often active, most frequent first.

    Args:
        predicted: (N, E) strengths.
        true: (N, E) strengths; an action is active in a face from `active` on.
        names: of the E actions.

    Returns:
        By name. An action that is active in no face, or in all, has no AUC and is left out.
    """
    on = true >= active
    often = on.mean(0)
    order = [int(i) for i in np.argsort(-often, kind="stable") if 0 < often[i] < 1]
    return {names[i]: roc_auc(predicted[:, i], on[:, i]) for i in order[:count]}


def rank_correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Computes Spearman's rho of two samples (N,), ties in order of appearance."""
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float) for values in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
