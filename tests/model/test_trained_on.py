"""Whether a checkpoint and a face model belong together."""

from __future__ import annotations

from facegpt.model.trained_on import FaceModelName, mismatch

MINE, OTHER = FaceModelName("mine/1", "ab" * 32), FaceModelName("other/1", "cd" * 32)


def test_the_sha256_counts_and_not_the_name() -> None:
    assert mismatch(MINE, FaceModelName("a file of it", MINE.sha256)) is None
    assert mismatch(MINE, FaceModelName(MINE.name, OTHER.sha256)) is not None


def test_both_are_named() -> None:
    assert mismatch(MINE, OTHER) == "was trained on face model mine/1 (abababab), not on other/1 (cdcdcdcd)"
