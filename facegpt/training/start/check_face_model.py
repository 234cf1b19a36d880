"""The check that portraits, which training needs, can be rendered of a face model."""

from __future__ import annotations

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.face_model import ACTIONS
from facegpt.morphable.mirror import Mirror


def check_trainable(model: FaceModel) -> None:
    """Raises ValueError, in one line, if portraits cannot be made of `model`.

    They need the bundled model's actions by name (captions speak of them), its regions (eyes, teeth), albedo modes with
    examples, and a mirror image of every mode. A model that lacks them can be mapped to the bundled one instead.
    """
    reference = bundled()
    lacks = []
    missing = [name for name in reference.expression_names if name not in model.expression_names]
    if model.expression_unit != ACTIONS or missing:
        lacks.append(f"{len(missing)} of {reference.n_expression} ARKit actions")
    if not model.n_albedo or not len(model.albedo_examples):
        lacks.append("albedo modes with examples")
    regions = [name for name in reference.region_names if name not in model.region_names]
    if regions:
        lacks.append(f"the regions {', '.join(regions)}")
    if not lacks:
        try:
            Mirror(model)
        except ValueError as error:
            lacks.append(f"symmetry ({error})")
    if lacks:
        raise ValueError(
            f"cannot train on face model {model.id}: it lacks {'; '.join(lacks)}. Train on the bundled one, and map "
            "between both with `facegpt convert-face-model`"
        )
