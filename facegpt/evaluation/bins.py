"""Errors by how far a head is turned and by how large a face is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

YAW_EDGES = (0.0, 30.0, 60.0, 90.0)
"""Bins of |yaw| in degrees, those of AFLW2000-3D's protocol (Zhu et al., CVPR 2016); the last one includes 90."""

SIZE_EDGES = (0.0, 64.0, 128.0, 256.0, float("inf"))
"""Bins of a face's size in pixels of the photo (`face_px` of the tables: geometric mean of the detector's box)."""


def by_bin(name: str, errors: Values, of: Values, edges: Sequence[float]) -> dict[str, float]:
    """Averages `errors` (N,) in each bin of `of` (N,): from an edge (included) to the next (excluded, but the last).

    Returns:
        `NAME_FROM_TO`, or `NAME_FROM_up` for a bin without an end; a bin without a face is left out.
    """
    return {f"{name}_{span}": float(errors[inside].mean()) for span, inside in _bins(of, edges)}


def count_by_bin(name: str, of: Values, edges: Sequence[float]) -> dict[str, float]:
    """Counts how many of `of` (N,) lie in each bin, named as `by_bin` does; an empty bin is left out."""
    return {f"{name}_{span}": float(inside.sum()) for span, inside in _bins(of, edges)}


def _bins(of: Values, edges: Sequence[float]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for low, high in pairwise(edges):
        inside = (of >= low) & ((of <= high) if high == edges[-1] else (of < high))
        if inside.any():
            yield f"{low:.0f}_{'up' if np.isinf(high) else f'{high:.0f}'}", inside
