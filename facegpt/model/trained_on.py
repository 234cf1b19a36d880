"""The one check that a checkpoint and a face model belong together. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple


class FaceModelName(NamedTuple):
    """A face model as messages name it: `name` is its id or its file; `sha256` of its stored form, in hex digits."""

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:8]})"


def mismatch(trained_on: FaceModelName, given: FaceModelName) -> str | None:
    """Says that a checkpoint was trained on another face model than the `given` one, as the end of a sentence that
    begins with the checkpoint; gives None if it was trained on that one.
    """
    if trained_on.sha256 == given.sha256:
        return None
    return f"was trained on face model {trained_on}, not on {given}"
