"""FLAME 2017, 2020, 2023 and 2023 Open: a pickle, and the landmarks that are published beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from facegpt.morphable.face_model import SIGMA
from facegpt.morphable.formats.raw import I64, FaceModelError, Point, RawModel, components
from facegpt.morphable.formats.unpickle import array, unpickle

IDENTITIES, EXPRESSIONS = 300, 100
VERTICES, TRIANGLES = 5023, 9976
WHERE = "FLAME's models and landmark_embedding.npy: https://flame.is.tue.mpg.de (free registration; mind its licence)"
LICENCES = {"flame2023_open": "CC-BY-4.0"}
RESTRICTED = "FLAME model licence (registration; non-commercial unless your copy says otherwise)"
EMBEDDING = "landmark_embedding.npy"
NAMES = ("head", "eye_left", "eye_right")


def read_flame(path: Path, landmarks: dict[int, Point] | None = None) -> RawModel:
    """Reads FLAME's pickle; 300 shape and 100 expression modes, in standard deviations, metres.

    Neck, jaw and eyes stay at rest: their turns are not linear and not part of this model. Where no `landmarks` are
    given, `landmark_embedding.npy` (as DECA and FLAME's site have it) is read from beside the model.

    Raises:
        FaceModelError: not FLAME, or no landmarks.
    """
    loaded = unpickle(path)
    if not isinstance(loaded, dict) or not {"v_template", "f", "shapedirs"} <= set(loaded):
        raise FaceModelError(f"{path} is a pickle, but not of FLAME (no v_template, f, shapedirs); {WHERE}")
    mean, triangles, modes = (array(loaded[key], path, key) for key in ("v_template", "f", "shapedirs"))
    if mean.shape != (VERTICES, 3) or triangles.shape != (TRIANGLES, 3):
        raise FaceModelError(
            f"{path} has vertices {mean.shape} and triangles {triangles.shape}, FLAME ({VERTICES}, 3) and "
            f"({TRIANGLES}, 3): is it SMPL or another body model? {WHERE}"
        )
    if modes.shape != (VERTICES, 3, IDENTITIES + EXPRESSIONS):
        raise FaceModelError(
            f"{path} has shapedirs {modes.shape}, FLAME of 2017 and later ({VERTICES}, 3, 400): an older or cut "
            f"version? {WHERE}"
        )
    faces = triangles.astype(np.int64)
    basis = np.moveaxis(modes, -1, 0).astype(np.float32)
    return RawModel(
        id=f"flame-{path.stem.lower()}",
        licence=LICENCES.get(path.stem.lower(), RESTRICTED),
        source=f"FLAME ({path.name})",
        per_metre=1.0,
        mean=mean.astype(np.float32),
        shape=basis[:IDENTITIES],
        expression=basis[IDENTITIES:],
        triangles=faces,
        landmarks=read_embedding(path.parent / EMBEDDING, faces) if landmarks is None else landmarks,
        expression_names=components("expression", EXPRESSIONS),
        expression_unit=SIGMA,
        region_names=NAMES,
        regions=parts(faces, mean),
        notes=["neck, jaw and eyes at rest", "no albedo: one plain colour for each part"],
    )


def parts(triangles: I64, mean: npt.NDArray[Any]) -> I64:
    """Labels vertices (V,): 0 for the largest connected part, 1 and 2 for other parts on the subject's left and right:
    FLAME's eyeballs.
    """
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(mean), len(mean)))
    label = np.asarray(connected_components(graph, directed=False)[1])
    head = np.bincount(label).argmax()
    middle = np.array([mean[label == k, 0].mean() for k in range(label.max() + 1)])
    return np.where(label == head, 0, np.where(middle[label] > 0, 1, 2)).astype(np.int64)


def read_embedding(path: Path, triangles: I64) -> dict[int, Point]:
    """Reads the 68 points of `landmark_embedding.npy`: `full_lmk_faces_idx` (1,68) and `full_lmk_bary_coords` (1,68,3).

    The file is a pickled dict in an object array (with torch tensors in it, which are read past), so that numpy would
    have to be allowed to unpickle it.
    """
    if not path.is_file():
        raise FaceModelError(
            f"no landmarks for FLAME: put {EMBEDDING} (https://flame.is.tue.mpg.de, or DECA's data folder) beside the "
            "model, or give --landmarks"
        )
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"npy version {version}")
            np.lib.format.read_array_header_1_0(file)
        except ValueError as error:
            raise FaceModelError(f"{path} is no npy file: {error}; {WHERE}") from None
        start = file.tell()
    loaded = unpickle(path, start)
    inner = loaded.item() if isinstance(loaded, np.ndarray) and loaded.shape == () else loaded
    keys = ("full_lmk_faces_idx", "full_lmk_bary_coords")
    if not isinstance(inner, dict) or not set(keys) <= set(inner):
        raise FaceModelError(
            f"{path} has no {keys[0]}: 51 points without the jaw are not enough; take {EMBEDDING}; {WHERE}"
        )
    index, weights = (array(inner[key], path, key) for key in keys)
    if index.size != 68 or weights.size != 204 or int(index.max()) >= len(triangles):
        raise FaceModelError(
            f"{path} has {index.size} points for {len(triangles)} triangles, not 68; {WHERE}"
        )
    rows = weights.reshape(68, 3).astype(np.float64)
    return {k: (triangles[t], rows[k] / rows[k].sum()) for k, t in enumerate(index.reshape(-1))}
