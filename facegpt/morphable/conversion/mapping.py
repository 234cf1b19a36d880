"""A fitted mapping from the parameters of one face model to those of another, and the file it is kept in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from scipy.optimize import nnls
from torch import Tensor

from facegpt.morphable.conversion.face import F64
from facegpt.morphable.conversion.registration import Correspondence, register, small_motions
from facegpt.morphable.face_model import ACTIONS, FaceModel, safetensors_metadata, sorted_header

FORMAT = "facegpt-face-model-mapping"
SHAPE_NOISE, EXPRESSION_NOISE = 0.0010, 0.0005
"""Standard deviation in metres of a vertex by noise of the registration: the smaller, the less the prior counts."""
MOTIONS = 7
WORDS = ("source_id", "source_sha256", "target_id", "target_sha256", "expression_unit")


@dataclass(frozen=True)
class Converted:
    """Converted faces: shape (B,S') and expression (B,E') of the target, and their place: `source = scale * rotation @
    target + translation`.

    scale (B,), rotation (B,3,3), translation (B,3) metres: the target has one distance between the eyes, the source
    many. In a picture, `rotation` goes to the right of the head's, `(R translation + T) / scale` is its translation.
    """

    shape: Tensor
    expression: Tensor
    scale: Tensor
    rotation: Tensor
    translation: Tensor


@dataclass(frozen=True)
class Mapping:
    """The linear maps from source to target: `tensors` has shape (S',S) and shape_offset (S',), expression (E',E),
    motion (7,S) and motion_offset (7,): turn about x, y, z (radians), growth, shift (metres). Names both models by id
    and sha256; `expression_unit` is the target's. `figures`: what was measured, mm by name.
    """

    tensors: dict[str, Tensor]
    source_id: str
    source_sha256: str
    target_id: str
    target_sha256: str
    expression_unit: str
    figures: dict[str, float] = field(default_factory=dict)

    def __call__(self, shape: Tensor, expression: Tensor) -> Converted:
        """Computes the target's parameters for shapes (B,S) and expressions (B,E) of the source; actions are kept in
        0..1.
        """
        t = self.tensors
        target_shape = shape @ t["shape"].T + t["shape_offset"]
        target_expression = expression @ t["expression"].T
        motion = shape @ t["motion"].T + t["motion_offset"]
        turn = motion[:, :3]
        zero = torch.zeros_like(turn[:, 0])
        x, y, z = turn.unbind(-1)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
        return Converted(
            target_shape,
            target_expression.clamp(0, 1) if self.expression_unit == ACTIONS else target_expression,
            1 + motion[:, 3],
            torch.linalg.matrix_exp(skew),
            motion[:, 4:],
        )

    def check(self, source: FaceModel, target: FaceModel) -> None:
        """Raises ValueError unless it was fitted between exactly these two models."""
        pairs = ((self.source_id, self.source_sha256, source), (self.target_id, self.target_sha256, target))
        for id, sha256, model in pairs:
            if sha256 != model.sha256:
                raise ValueError(
                    f"the mapping is fitted for face model {id} ({sha256[:8]}), not for {model.id} ({model.sha256[:8]})"
                )

    def save(self, path: Path) -> None:
        """Writes one safetensors file, readable by `load`."""
        words = {name: str(getattr(self, name)) for name in WORDS}
        header = {"format": FORMAT, "figures": json.dumps(self.figures), **words}
        path.write_bytes(sorted_header(tensor_bytes(self.tensors, metadata=header)))

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Reads what `save` wrote; raises FileNotFoundError, or ValueError if the file is something else."""
        data = path.read_bytes()
        header = safetensors_metadata(data)
        if header.get("format") != FORMAT:
            raise ValueError(f"{path} is no mapping between face models (format {header.get('format')!r})")
        words = {name: header[name] for name in WORDS}
        return cls(parse_tensors(data), **words, figures=json.loads(header["figures"]))


def fit_mapping(source: FaceModel, target: FaceModel, between: Correspondence | None = None) -> Mapping:
    """Fits the mapping by linear least squares over corresponding points, with the target's prior as regulariser.

    Shapes: coefficients of unit variance and a small motion, against the source's mean and each of its modes.
    Expressions by themselves, so that a neutral face stays neutral; between models of named actions, strengths are
    not negative, and an action whose name both have is expected to be itself (a pair of `Left` and `Right` that the
    target has as one, half each).
    """
    between = between or register(source, target)
    target_modes = _at(target.shape_basis, between, source=False)
    positions = target.mean.double().numpy()[between.target]
    motions = small_motions(positions)
    columns = np.concatenate([target_modes, motions])
    modes = _at(source.shape_basis, between, source=True)
    mean_offset = (source.mean.double().numpy()[between.source] * between.weights[..., None]).sum(
        1
    ) - positions
    offsets = np.concatenate([modes, mean_offset[None]])
    noise = np.concatenate([np.full(len(target_modes), SHAPE_NOISE**2), np.full(MOTIONS, 1e-12)])
    normal, moments = _normal(columns, offsets, between.area)
    solved = np.linalg.solve(normal + np.diag(noise * _independent(between)), moments)
    shape, motion = solved[: len(target_modes)], solved[len(target_modes) :]
    arrays = {
        "shape": shape[:, :-1],
        "shape_offset": shape[:, -1],
        "expression": _expressions(source, target, between),
        "motion": motion[:, :-1],
        "motion_offset": motion[:, -1],
    }
    return Mapping(
        {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()},
        source_id=source.id,
        source_sha256=source.sha256,
        target_id=target.id,
        target_sha256=target.sha256,
        expression_unit=target.expression_unit,
    )


def _independent(between: Correspondence) -> float:
    """Estimates vertices per independent observation: errors of neighbours are correlated."""
    return max(len(between.target) / 300.0, 1.0)


def _at(basis: Tensor, between: Correspondence, source: bool) -> F64:
    """Evaluates modes (K,N,3) at the corresponding points."""
    array = basis.double().numpy()
    if not source:
        return np.asarray(array[:, between.target])
    return np.asarray(np.einsum("knlc,nl->knc", array[:, between.source], between.weights))


def _normal(columns: F64, wanted: F64, area: F64) -> tuple[F64, F64]:
    root = np.sqrt(area)[None, :, None]
    a = (columns * root).reshape(len(columns), -1)
    b = (wanted * root).reshape(len(wanted), -1)
    return a @ a.T, a @ b.T


def _expressions(source: FaceModel, target: FaceModel, between: Correspondence) -> F64:
    if not (source.n_expression and target.n_expression):
        return np.zeros((target.n_expression, source.n_expression))
    target_modes = _at(target.expression_basis, between, source=False)
    modes = _at(source.expression_basis, between, source=True)
    normal, moments = _normal(target_modes, modes, between.area)
    noise = EXPRESSION_NOISE**2 * _independent(between)
    expected = expected_actions(source, target)
    normal, moments = normal + noise * np.eye(len(target_modes)), moments + noise * expected
    if source.expression_unit != ACTIONS or target.expression_unit != ACTIONS:
        return np.asarray(np.linalg.solve(normal, moments))
    factor = np.linalg.cholesky(normal)
    halves = np.linalg.solve(factor, moments)
    return np.stack([nnls(factor.T, half)[0] for half in halves.T], 1)


def expected_actions(source: FaceModel, target: FaceModel) -> F64:
    """Maps actions of the source to the target's (E',E) by name alone: 1 for itself, 1/2 for a half of a pair."""
    expected = np.zeros((target.n_expression, source.n_expression))
    if source.expression_unit != ACTIONS or target.expression_unit != ACTIONS:
        return expected
    for column, name in enumerate(source.expression_names):
        whole = name.removesuffix("Left").removesuffix("Right")
        for row, target_name in enumerate(target.expression_names):
            if target_name == name:
                expected[row, column] = 1.0
            elif target_name == whole:
                expected[row, column] = 0.5
            elif target_name in (f"{name}Left", f"{name}Right") and name not in target.expression_names:
                expected[row, column] = 1.0
    return expected
