"""GNM Head: an npz (Apache-2.0, Google)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegpt.morphable.face_model import SIGMA
from facegpt.morphable.formats.landmarks import read_landmarks
from facegpt.morphable.formats.raw import I64, FaceModelError, Point, RawModel

WHERE = "gnm_head.npz and landmarks/head_sparse_68.txt: https://github.com/google/GNM, gnm/shape/data (Apache-2.0)"
LANDMARKS = "head_sparse_68.txt"
KEYS = (
    "template_vertex_positions",
    "vertex_identity_basis",
    "expression_basis",
    "triangles",
    "expression_names",
    "vertex_groups",
    "vertex_group_names",
    "version",
)
GROUPS = (
    ("tongue", ("tongue",)),
    ("teeth", ("upper_teeth_and_gums", "lower_teeth_and_gums", "upper_teeth", "lower_teeth", "teeth")),
    ("mouth_sock", ("mouth_sock",)),
    ("eye_left", ("left_eye",)),
    ("eye_right", ("right_eye",)),
)
"""Regions and the vertex groups that make them up; later ones win. All else is skin."""


def read_gnm(path: Path, landmarks: dict[int, Point] | None = None) -> RawModel:
    """Reads GNM Head's npz: identities and expressions in standard deviations, metres; the head's joints at rest.

    Where no `landmarks` are given, `head_sparse_68.txt` is read from beside the npz, or from `../../landmarks` as in
    the repository. Its jaw points 2 to 6 stand the other way round; they are put in iBUG's order.

    Raises:
        FaceModelError: not GNM's npz, or no landmarks.
    """
    data = _read(path)
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise FaceModelError(f"{path} is an npz, but not of GNM Head (no {', '.join(missing)}); {WHERE}")
    mean, identities, expressions = (
        data[key].astype(np.float32)
        for key in ("template_vertex_positions", "vertex_identity_basis", "expression_basis")
    )
    count = len(mean)
    if mean.shape != (count, 3) or identities.shape[1:] != (count, 3) or expressions.shape[1:] != (count, 3):
        raise FaceModelError(f"{path}: identity and expression modes do not fit {count} vertices; {WHERE}")
    version = str(data["version"])
    if not version.startswith("3"):
        raise FaceModelError(f"{path} is GNM version {version}; this loader knows version 3; {WHERE}")
    names, regions = _regions(
        data["vertex_groups"], [str(name) for name in data["vertex_group_names"]], count
    )
    return RawModel(
        id=f"gnm-head-{version}",
        licence="Apache-2.0",
        source=f"GNM Head {version} (Google)",
        per_metre=1.0,
        mean=mean,
        shape=identities,
        expression=expressions,
        triangles=data["triangles"].astype(np.int64),
        landmarks=_beside(path) if landmarks is None else landmarks,
        expression_names=tuple(str(name) for name in data["expression_names"]),
        expression_unit=SIGMA,
        region_names=names,
        regions=regions,
        notes=["joints at rest, no pose correctives", "no albedo: one plain colour for each part"],
    )


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in KEYS if key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FaceModelError(f"{path} is no npz of plain arrays: {error}; {WHERE}") from None


def _regions(weights: npt.NDArray[Any], groups: list[str], count: int) -> tuple[tuple[str, ...], I64]:
    names, regions = ["head"], np.zeros(count, np.int64)
    for name, members in GROUPS:
        members_of_region = [weights[groups.index(member)] > 0.5 for member in members if member in groups]
        if members_of_region:
            regions[np.any(members_of_region, axis=0)] = len(names)
            names.append(name)
    return tuple(names), regions


def _beside(path: Path) -> dict[int, Point]:
    for place in (path.parent / LANDMARKS, path.parent.parent.parent / "landmarks" / LANDMARKS):
        if place.is_file():
            return read_landmarks(place)
    raise FaceModelError(
        f"no landmarks for GNM Head: put {LANDMARKS} beside {path.name}, or give --landmarks; {WHERE}"
    )
