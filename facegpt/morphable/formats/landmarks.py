"""The 68 iBUG landmarks of a face model: read from a file, completed where some are missing, and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facegpt.morphable.bundled import bundled
from facegpt.morphable.conversion.registration import small_motions
from facegpt.morphable.formats.raw import F64, I64, FaceModelError, Point, vertex
from facegpt.morphable.surface import Surface

COUNT = 68
FEWEST = 9
"""The least number of points that determine place and pitch of a head."""
FORMS = (
    "68 lines `vertex` or `i0 w0 i1 w1 i2 w2` (0-based), or lines `iBUG number 1-68 = vertex` as eos has them"
)


def read_landmarks(path: Path) -> dict[int, Point]:
    """Reads points by iBUG number (0-based) from a text file in one of three forms; `#` starts a comment.

    68 lines with a vertex each; 68 lines `i0 w0 i1 w1 i2 w2`, barycentric (as GNM has them); or lines `number = vertex`
    with numbers of 1 to 68, in which some may be missing (as eos has them; further sections are left out).

    Raises:
        FaceModelError: the file is missing or in none of these forms.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FaceModelError(f"cannot read the landmarks {path}: {error}; wanted are {FORMS}") from None
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    try:
        if any("=" in line for line in lines):
            return _numbered(lines)
        rows = [[float(word) for word in line.split()] for line in lines]
        if len(rows) != COUNT or {len(row) for row in rows} not in ({1}, {6}):
            raise ValueError(f"{len(rows)} lines")
        if len(rows[0]) == 1:
            return {k: vertex(_whole(row[0])) for k, row in enumerate(rows)}
        ids = np.array([[_whole(value) for value in row[::2]] for row in rows], np.int64)
        weights = np.array([row[1::2] for row in rows])
        if np.abs(weights.sum(1) - 1).max() > 1e-2:
            raise ValueError("weights that do not add up to 1")
        return {k: (ids[k], weights[k] / weights[k].sum()) for k in range(COUNT)}
    except ValueError as error:
        raise FaceModelError(f"{path} is no file of 68 landmarks ({error}); wanted are {FORMS}") from None


def _whole(value: float) -> int:
    if value != int(value) or value < 0:
        raise ValueError(f"{value:g} is no vertex")
    return int(value)


def _numbered(lines: list[str]) -> dict[int, Point]:
    points: dict[int, Point] = {}
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]")
            continue
        match = re.fullmatch(r"(\d+)\s*=\s*(\d+)", line)
        if section not in ("", "landmark_mappings"):
            continue
        if match is None or not 1 <= int(match[1]) <= COUNT:
            raise ValueError(f"the line {line!r}")
        points[int(match[1]) - 1] = vertex(int(match[2]))
    return points


def reference_landmarks() -> F64:
    """Returns the bundled model's 68 landmarks (68,3) seen from the front, metres, which define the head frame."""
    import torch

    model = bundled()
    return model.landmarks(model.mean[None], torch.eye(3)[None])[0].double().numpy()


def places(mean: F64, points: Mapping[int, Point]) -> tuple[I64, F64]:
    """Lists the iBUG numbers (N,) of the given points, and their positions (N,3) on `mean` (V,3)."""
    numbers = np.array(sorted(points), np.int64)
    positions = np.stack([(mean[points[k][0]] * points[k][1][:, None]).sum(0) for k in numbers])
    return numbers, positions


def complete(mean: F64, skin: I64, points: Mapping[int, Point], expected: float = 0.0015) -> dict[int, Point]:
    """Completes the 68 points: missing ones are carried over from the bundled model.

    The bundled model's shape is fitted to the given points (ridge least squares with its prior, points good to
    `expected` metres); its other landmarks then go to the nearest point of the skin.

    Args:
        mean: (V,3) metres, this project's frame.
        skin: (F,3) triangles that a landmark may lie on.
    """
    missing = [k for k in range(COUNT) if k not in points]
    if not missing:
        return dict(points)
    model = bundled()
    numbers, positions = places(mean, points)
    ids, weights = _static()
    basis = np.einsum("slkc,lk->slc", model.shape_basis.double().numpy()[:, ids], weights)
    reference = reference_landmarks()
    # In units of about 1 cm, as the modes of shape are.
    rigid = small_motions(reference) * np.array([0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])[:, None, None]
    columns = np.concatenate([basis, rigid])
    offsets = (positions - reference[numbers]).reshape(-1)
    system = columns[:, numbers].reshape(len(columns), -1)
    prior = np.concatenate([np.full(len(basis), expected**2), np.full(len(rigid), 1e-12)])
    solved = np.linalg.solve(system @ system.T + np.diag(prior), system @ offsets)
    fitted = reference + np.tensordot(solved, columns, 1)
    nearest = Surface(mean, skin).closest(fitted[missing])
    carried = {k: (nearest.vertices[i], nearest.weights[i]) for i, k in enumerate(missing)}
    return {**points, **carried}


def _static() -> tuple[I64, F64]:
    """Returns vertex ids and weights (68,3) of the bundled landmarks seen from the front."""
    model = bundled()
    ids = np.concatenate([model.jaw_vertices[:, 0].numpy(), model.landmark_vertices.numpy()])
    weights = np.concatenate([model.jaw_weights[:, 0].numpy(), model.landmark_weights.numpy()])
    return ids.astype(np.int64), weights.astype(np.float64)


def in_jaw_order(mean: F64, points: Mapping[int, Point]) -> dict[int, Point]:
    """Sorts points 0-16 along the jaw, from the subject's right ear over the chin to the left ear.

    GNM's own list has 2 to 6 the other way round.
    """
    numbers, positions = places(mean, points)
    bridge = positions[numbers == 27][0]
    jaw = numbers < 17
    across = positions[jaw] - bridge
    turn = np.mod(np.arctan2(across[:, 1], across[:, 0]) - np.pi / 2, 2 * np.pi)
    ordered = numbers[jaw][np.argsort(turn)]
    return {**points, **{int(k): points[int(o)] for k, o in zip(numbers[jaw], ordered, strict=True)}}


def check_fit(where: F64, name: str) -> None:
    """Raises FaceModelError if landmarks (68,3), in this project's frame, do not lie where a face has them."""
    off = np.linalg.norm(where - reference_landmarks(), axis=1)
    worst = int(np.argmax(np.where(np.arange(COUNT) < 17, off / 2, off)))
    if np.sqrt((off[17:] ** 2).mean()) > 0.010 or off[17:].max() > 0.025 or off[:17].max() > 0.05:
        raise FaceModelError(
            f"the landmarks do not fit {name}: iBUG point {worst} lies {1e3 * off[worst]:.0f} mm away from where a "
            "face has it; is the list for this very file, in iBUG order and 0-based?"
        )
