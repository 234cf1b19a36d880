"""A published face model as a loader reads it, before it is brought into this project's frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

Point = tuple[I64, F64]
"""A point of a surface: vertex ids (3,) and barycentric coordinates (3,)."""


class FaceModelError(ValueError):
    """An error for a face model that cannot be used; its message, one line, says what to do."""


@dataclass
class RawModel:
    """A linear face model in its publisher's units, with axes x to the subject's left, y up, z out of the face.

    mean (V,3), shape (S,V,3) and expression (E,V,3) in units of which `per_metre` make a metre, per standard deviation
    or, of named actions, at full strength. triangles (F,3), 0-based, in either winding. albedo_mean (V,3) and
    albedo_basis (A,V,3) in linear RGB, where the model has colours. regions (V,) index region_names; region 0 is skin,
    and is called "head". landmarks: points by iBUG number, 0 to 67; some may be missing.
    """

    id: str
    licence: str
    source: str
    per_metre: float
    mean: F32
    shape: F32
    expression: F32
    triangles: I64
    landmarks: Mapping[int, Point]
    expression_names: tuple[str, ...]
    expression_unit: str
    region_names: tuple[str, ...] = ("head",)
    regions: I64 | None = None
    albedo_mean: F32 | None = None
    albedo_basis: F32 | None = None
    uv: F32 | None = None
    notes: list[str] = field(default_factory=list)


def vertex(index: int) -> Point:
    """Makes a point of the surface of one vertex."""
    return np.full(3, index, np.int64), np.array([1.0, 0.0, 0.0])


def components(prefix: str, count: int) -> tuple[str, ...]:
    """Numbers the names of modes that have none."""
    return tuple(f"{prefix}{number:03d}" for number in range(count))
