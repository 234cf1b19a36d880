"""The Basel Face Models of 2017 and 2019: HDF5 files, for which the extra `face-models` brings h5py."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegpt.morphable.face_model import SIGMA
from facegpt.morphable.formats.assemble import srgb_albedo
from facegpt.morphable.formats.bfm import LICENCE, scaled
from facegpt.morphable.formats.eos_points import BFM_2017_NOMOUTH
from facegpt.morphable.formats.raw import FaceModelError, Point, RawModel, components, vertex

WHERE = "BFM 2017 and 2019: https://faces.dmi.unibas.ch/bfm (sign-up, research only)"
NOMOUTH = 53149


def read_bfm_h5(path: Path, landmarks: dict[int, Point] | None = None) -> RawModel:
    """Reads `model2017-1_*.h5` or `model2019_*.h5`: shape, expression and colour modes, millimetres.

    `pcaVariance` holds eigenvalues: a mode per standard deviation is its basis times the square root. The neutral face
    is the mean of the shapes and that of the expressions together. Where no `landmarks` are given, 26 that eos names
    for `bfm_nomouth` are used, and the others carried over from the bundled model.

    Raises:
        FaceModelError: h5py is not installed; not this file; no landmarks for it.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise FaceModelError(
            f"{path} is an HDF5 file, which needs h5py: pip install 'facegpt[face-models]'"
        ) from None
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with h5py.File(str(path), "r") as file:
            for part in ("shape", "expression", "color"):
                for key in ("mean", "pcaBasis", "pcaVariance"):
                    arrays[f"{part}/{key}"] = np.asarray(file[f"{part}/model/{key}"], np.float64)
            cells = np.asarray(file["shape/representer/cells"], np.int64)
    except KeyError as error:
        raise FaceModelError(
            f"{path} is an HDF5 file, but not of BFM 2017 or 2019: {error}; {WHERE}"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise FaceModelError(f"{path} is no HDF5 file of arrays: {error}; {WHERE}") from None
    mean = (arrays["shape/mean"] + arrays["expression/mean"]).reshape(-1, 3)
    count = len(mean)
    if any(arrays[f"{part}/pcaBasis"].shape[0] != 3 * count for part in ("shape", "expression", "color")):
        raise FaceModelError(f"{path}: its bases do not fit {count} vertices; {WHERE}")
    if landmarks is None and count != NOMOUTH:
        raise FaceModelError(
            f"{path} has {count} vertices; landmarks are known for bfm_nomouth ({NOMOUTH}) alone: take that one, or "
            "give --landmarks for this one"
        )
    modes = {
        part: scaled(arrays[f"{part}/pcaBasis"], np.sqrt(arrays[f"{part}/pcaVariance"]))
        for part in ("shape", "expression", "color")
    }
    albedo, colour_modes = srgb_albedo(arrays["color/mean"].reshape(-1, 3), modes["color"])
    return RawModel(
        id=f"bfm-{path.stem.lower()}",
        licence=LICENCE,
        source=f"Basel Face Model ({path.name})",
        per_metre=1000.0,
        mean=mean.astype(np.float32),
        shape=modes["shape"].astype(np.float32),
        expression=modes["expression"].astype(np.float32),
        triangles=cells.T if cells.shape[0] == 3 else cells,
        landmarks={k: vertex(v) for k, v in BFM_2017_NOMOUTH.items()} if landmarks is None else landmarks,
        expression_names=components("expression", len(modes["expression"])),
        expression_unit=SIGMA,
        albedo_mean=albedo,
        albedo_basis=colour_modes,
        notes=["colours from sRGB to linear to first order about the mean"],
    )
