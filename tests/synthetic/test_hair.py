"""Hats sit on heads: above the brows, around the crown."""

from __future__ import annotations

import numpy as np

from facegpt.synthetic.hair import hat


def test_a_hat_covers_the_crown_and_leaves_the_eyes() -> None:
    crown, brows = np.array([56, 22], np.float32), np.array([[38, 52], [74, 52]], np.float32)
    ears = np.array([[26, 62], [86, 62]], np.float32)
    bare = np.full((112, 112, 3), 2.0, np.float32)
    covered = np.stack(
        [(hat(np.random.default_rng(seed), bare, crown, brows, ears) < 1.5).all(-1) for seed in range(20)]
    )
    assert covered[:, 22, 56].all()
    assert not covered[:, 70:].any()
    assert covered.mean((1, 2)).std() > 0.01
