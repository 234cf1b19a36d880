"""Conversion of a published model to a `FaceModel`: units, frame, winding, landmarks, the contour of the jaw."""

from __future__ import annotations

import numpy as np
import torch

from facegpt.morphable.face_area import SKIN
from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.formats.contour import jaw_rows
from facegpt.morphable.formats.landmarks import (
    FEWEST,
    check_fit,
    complete,
    in_jaw_order,
    places,
    reference_landmarks,
)
from facegpt.morphable.formats.raw import F32, F64, I64, FaceModelError, RawModel

VERSION = 1
"""The version of this conversion, part of the model's id, since coefficients and landmarks depend on it."""
EYE_PAIRS = ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46))
SCALE_RANGE = (0.75, 1.35)
COLOURS = {
    "head": (0.46, 0.27, 0.20),
    "eye": (0.75, 0.73, 0.70),
    "mouth": (0.20, 0.06, 0.05),
    "teeth": (0.72, 0.66, 0.55),
    "tongue": (0.36, 0.12, 0.11),
}
"""Linear RGB of regions, by the first word of their name, for models without colours of their own."""


def assemble(raw: RawModel, keep: tuple[int, int, int] | None = None) -> FaceModel:
    """Brings `raw` into this project's frame and gives it 68 landmarks with a jaw contour that follows the pose.

    The head is pitched so that its landmarks lie as the bundled model's do, scaled to its distance between the eyes
    and put in its place: an angle of 0 then means the same for every model. `keep`: how many of the first shape,
    expression and albedo modes to keep.

    Raises:
        FaceModelError: too few landmarks, or such that do not lie on a face; a unit that cannot be right.
    """
    _check_landmarks(raw)
    metres = raw.mean.astype(np.float64) / raw.per_metre
    numbers, positions = places(metres, raw.landmarks)
    turn, scale, shift = _to_frame(numbers, positions, raw.id)
    mean = scale * metres @ turn.T + shift
    triangles = _outwards(mean, raw.triangles, raw)
    regions = np.zeros(len(mean), np.int64) if raw.regions is None else raw.regions
    skin = triangles[(regions == SKIN)[triangles].all(1)]
    points = complete(mean, skin, raw.landmarks)
    points = in_jaw_order(mean, points)
    check_fit(places(mean, points)[1], raw.id)
    jaw_ids, jaw_weights, directions = jaw_rows(mean, skin, [points[k] for k in range(17)])
    s, e, a = keep or (len(raw.shape), len(raw.expression), _count(raw.albedo_basis))
    native = (scale / raw.per_metre * turn).astype(np.float32)
    arrays = {
        "mean": mean.astype(np.float32),
        "shape_basis": raw.shape[:s].astype(np.float32) @ native.T,
        "expression_basis": raw.expression[:e].astype(np.float32) @ native.T,
        "albedo_mean": colours(regions, raw.region_names) if raw.albedo_mean is None else raw.albedo_mean,
        "albedo_basis": np.zeros((0, *mean.shape), np.float32)
        if raw.albedo_basis is None
        else raw.albedo_basis[:a],
        "albedo_examples": np.zeros((0, min(a, _count(raw.albedo_basis))), np.float32),
        "triangles": triangles,
        "uv": np.zeros((len(mean), 2), np.float32) if raw.uv is None else raw.uv,
        "regions": regions,
        "landmark_vertices": np.stack([points[k][0] for k in range(17, 68)]),
        "landmark_weights": np.stack([points[k][1] for k in range(17, 68)]),
        "jaw_vertices": jaw_ids,
        "jaw_weights": jaw_weights,
        "jaw_directions": directions,
    }
    model = FaceModel(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()},
        id=f"{raw.id}/{VERSION}",
        sha256="",
        region_names=raw.region_names,
        expression_names=raw.expression_names[:e],
        expression_unit=raw.expression_unit,
        licence=raw.licence,
        conversion=_note(raw, scale, turn, len(numbers)),
    )
    # As it will be when it has been stored: one model, one sha256, whichever way it came.
    return FaceModel.from_bytes(model.to_bytes(), raw.id)


def _check_landmarks(raw: RawModel) -> None:
    """Raises FaceModelError if there are too few landmarks to place the head, or if they name missing vertices."""
    points = raw.landmarks
    if len(points) < FEWEST or not any(a in points and b in points for a, b in EYE_PAIRS):
        raise FaceModelError(
            f"{raw.id} has {len(points)} of 68 landmarks: at least {FEWEST} with both eyes are needed"
        )
    if max(int(ids.max()) for ids, _ in points.values()) >= len(raw.mean):
        raise FaceModelError(
            f"the landmarks name vertices that {raw.id} with its {len(raw.mean)} does not have"
        )


def _count(basis: F32 | None) -> int:
    return 0 if basis is None else len(basis)


def _to_frame(numbers: I64, positions: F64, name: str) -> tuple[F64, float, F64]:
    """Finds turn (3,3, about x alone), scale and shift (3,) of landmarks `numbers` (N,) at `positions` (N,3) onto the
    bundled model's.
    """
    reference = reference_landmarks()
    inner = numbers > 16
    centred = positions[inner] - positions[inner].mean(0)
    reference_centred = reference[numbers[inner]] - reference[numbers[inner]].mean(0)
    sine = float((centred[:, 1] * reference_centred[:, 2] - centred[:, 2] * reference_centred[:, 1]).sum())
    cosine = float((centred[:, 1] * reference_centred[:, 1] + centred[:, 2] * reference_centred[:, 2]).sum())
    pitch = np.arctan2(sine, cosine)
    c, s = np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    pairs = [(a, b) for a, b in EYE_PAIRS if a in numbers and b in numbers]
    index = {int(k): i for i, k in enumerate(numbers)}
    right_eye, left_eye = (np.stack([positions[index[pair[k]]] for pair in pairs]).mean(0) for k in (0, 1))
    right_reference, left_reference = (
        np.stack([reference[pair[k]] for pair in pairs]).mean(0) for k in (0, 1)
    )
    apart = float(np.linalg.norm(left_eye - right_eye))
    scale = float(np.linalg.norm(left_reference - right_reference)) / max(apart, 1e-12)
    if not SCALE_RANGE[0] < scale < SCALE_RANGE[1] or left_eye[0] < right_eye[0] or np.cos(pitch) < 0.5:
        raise FaceModelError(
            f"{name} is not what its format says: its eyes are {1e3 * apart:.3g} mm apart, its "
            f"left one at x = {1e3 * left_eye[0]:.3g} mm, its pitch {np.degrees(pitch):.0f} degrees; wrong file, or "
            "landmarks of another one?"
        )
    return turn, scale, (left_reference + right_reference) / 2 - scale * turn @ ((left_eye + right_eye) / 2)


def _outwards(mean: F64, triangles: I64, raw: RawModel) -> I64:
    """Orders the corners of triangles counter-clockwise as seen from outside: files have them either way."""
    near = np.zeros(len(mean), bool)
    for number, (ids, _) in raw.landmarks.items():
        near[ids] = number > 16
    chosen = triangles[near[triangles].any(1)]
    a, b, c = (mean[chosen[:, k]] for k in range(3))
    facing = float(np.cross(b - a, c - a)[:, 2].sum())
    return triangles if facing > 0 else triangles[:, [0, 2, 1]]


def colours(regions: I64, names: tuple[str, ...]) -> F32:
    """Gives each vertex the plain colour (V,3), linear RGB, of its region, so that the model can be rendered."""
    table = np.array([COLOURS.get(name.split("_")[0], COLOURS["head"]) for name in names], np.float32)
    return np.asarray(table[regions], np.float32)


def srgb_albedo(mean: F64, basis: F64) -> tuple[F32, F32]:
    """Converts to linear RGB: colours (V,3) in sRGB 0..1 and their modes (A,V,3), to first order about the mean.

    The curve of IEC 61966-2-1 and its derivative.
    """
    clipped = np.clip(mean, 0.0, 1.0)
    base = (np.maximum(clipped, 0.04045) + 0.055) / 1.055
    linear = np.where(clipped <= 0.04045, clipped / 12.92, base**2.4)
    slope = np.where(clipped <= 0.04045, 1 / 12.92, 2.4 / 1.055 * base**1.4)
    return linear.astype(np.float32), (basis * slope).astype(np.float32)


def _note(raw: RawModel, scale: float, turn: F64, given: int) -> str:
    """Describes the conversion in one line for the stored model."""
    pitch = np.degrees(np.arctan2(turn[2, 1], turn[1, 1]))
    carried = f"; {68 - given} landmarks carried over from anny-head" if given < 68 else ""
    scaled = f"pitched by {pitch:.1f} degrees, scaled by {scale:.4f} to the bundled model's distance between the eyes"
    conversion = f"{raw.source}: {raw.per_metre:g} units to the metre, {scaled}{carried}"
    return "; ".join([conversion, *raw.notes])
