"""The Basel Face Model of 2009, and what Deep3DFaceRecon makes of it: MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat, whosmat

from facegpt.morphable.face_model import SIGMA
from facegpt.morphable.formats.assemble import srgb_albedo
from facegpt.morphable.formats.eos_points import BFM_2009
from facegpt.morphable.formats.raw import F64, FaceModelError, Point, RawModel, components, vertex

LICENCE = "Basel Face Model licence (sign-up; non-commercial research)"
WHERE = "BFM 2009: https://faces.dmi.unibas.ch/bfm (sign-up, non-commercial)"
WHERE_FRONT = (
    "BFM_model_front.mat is made out of BFM 2009 by Deep3DFaceRecon_pytorch, "
    "https://github.com/sicxu/Deep3DFaceRecon_pytorch"
)
VERTICES_2009 = 53490


def read_bfm_2009(path: Path, landmarks: dict[int, Point] | None = None) -> RawModel:
    """Reads `01_MorphableModel.mat`: 199 shape and 199 colour modes, no expressions, micrometres.

    `shapeEV` and `texEV` are standard deviations, not eigenvalues; colours are sRGB in 0..255. Where no `landmarks` are
    given, 18 that eos names are used, and the others carried over from the bundled model.

    Raises:
        FaceModelError: not this file.
    """
    keys = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    data = read_mat(path, keys, WHERE)
    mean = data["shapeMU"].reshape(-1, 3)
    count = len(mean)
    if data["shapePC"].shape[0] != 3 * count or data["texPC"].shape[0] != 3 * count:
        raise FaceModelError(f"{path}: shapePC and texPC do not fit {count} vertices; {WHERE}")
    if landmarks is None and count != VERTICES_2009:
        raise FaceModelError(
            f"{path} has {count} vertices, not BFM 2009's {VERTICES_2009}: give --landmarks for this cut of it"
        )
    albedo, modes = srgb_albedo(
        data["texMU"].reshape(-1, 3) / 255, scaled(data["texPC"], data["texEV"]) / 255
    )
    return RawModel(
        id="bfm-2009",
        licence=LICENCE,
        source="Basel Face Model 2009",
        per_metre=1e6,
        mean=mean.astype(np.float32),
        shape=scaled(data["shapePC"], data["shapeEV"]).astype(np.float32),
        expression=np.zeros((0, count, 3), np.float32),
        triangles=data["tl"].astype(np.int64) - 1,
        landmarks={k: vertex(v) for k, v in BFM_2009.items()} if landmarks is None else landmarks,
        expression_names=(),
        expression_unit=SIGMA,
        albedo_mean=albedo,
        albedo_basis=modes,
        notes=["no expressions", "colours from sRGB to linear to first order about the mean"],
    )


def read_bfm_front(path: Path, landmarks: dict[int, Point] | None = None) -> RawModel:
    """Reads Deep3D's `BFM_model_front.mat`: 80 shape, 64 expression and 80 colour modes, decimetres.

    Its bases are already in standard deviations; `tri` and `keypoints` count from 1.

    Raises:
        FaceModelError: not this file.
    """
    keys = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "keypoints")
    data = read_mat(path, keys, WHERE_FRONT)
    mean = data["meanshape"].reshape(-1, 3)
    count = len(mean)
    bases = {key: data[key] for key in ("idBase", "exBase", "texBase")}
    if any(basis.shape[0] != 3 * count for basis in bases.values()):
        raise FaceModelError(f"{path}: its bases do not fit {count} vertices; {WHERE_FRONT}")
    points = data["keypoints"].reshape(-1).astype(np.int64) - 1
    if landmarks is None and len(points) != 68:
        raise FaceModelError(f"{path} names {len(points)} keypoints, not 68; {WHERE_FRONT}")
    unit = np.ones(1)
    albedo, modes = srgb_albedo(data["meantex"].reshape(-1, 3) / 255, scaled(bases["texBase"], unit) / 255)
    expressions = scaled(bases["exBase"], unit).astype(np.float32)
    return RawModel(
        id="bfm-2009-deep3d-front",
        licence=LICENCE,
        source="Basel Face Model 2009 as Deep3DFaceRecon_pytorch cuts it",
        per_metre=10.0,
        mean=mean.astype(np.float32),
        shape=scaled(bases["idBase"], unit).astype(np.float32),
        expression=expressions,
        triangles=data["tri"].astype(np.int64) - 1,
        landmarks={k: vertex(int(v)) for k, v in enumerate(points)} if landmarks is None else landmarks,
        expression_names=components("expression", len(expressions)),
        expression_unit=SIGMA,
        albedo_mean=albedo,
        albedo_basis=modes,
        notes=["colours from sRGB to linear to first order about the mean"],
    )


def scaled(basis: npt.NDArray[Any], deviations: npt.NDArray[Any]) -> F64:
    """Scales to modes (K,V,3) per standard deviation: unit columns (3V,K) and their deviations (K,)."""
    wide = basis.astype(np.float64) * deviations.reshape(-1)
    return np.ascontiguousarray(wide.T).reshape(wide.shape[1], -1, 3)


def names_in(path: Path) -> list[str]:
    """Lists the names of the arrays in a MATLAB file; empty for a file that `read_mat` would refuse."""
    try:
        return [name for name, _, _ in whosmat(str(path))]
    except (OSError, ValueError, TypeError, NotImplementedError):
        return []


def read_mat(path: Path, keys: tuple[str, ...], where: str) -> dict[str, npt.NDArray[Any]]:
    """Reads the arrays `keys` of a MATLAB file of version 4 to 7; raises FaceModelError."""
    try:
        data = loadmat(str(path), variable_names=keys)
    except NotImplementedError:
        raise FaceModelError(
            f"{path} is a MATLAB 7.3 file: store it with `save -v7`, or take the original; {where}"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise FaceModelError(f"{path} is no MATLAB file: {error}; {where}") from None
    missing = [key for key in keys if key not in data]
    if missing:
        raise FaceModelError(f"{path} has no {', '.join(missing)}: another model? {where}")
    return {key: data[key] for key in keys}
