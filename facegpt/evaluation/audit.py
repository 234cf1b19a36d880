"""The audit of a checkpoint: its errors on pairs of rendered faces that differ in one property alone.

Only rendered faces have such pairs. The properties are settings of the renderer: they are neither read off photos of
people nor stored in a table of faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from facegpt.evaluation.geometry import rotation_error, surface_error
from facegpt.model.checkpoint import Checkpoint
from facegpt.model.generation import generate_faces
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.directions import sex_linked_shape
from facegpt.morphable.point_subset import LossPoints
from facegpt.rendering import FOCAL_MULTIPLIER, Camera, to_camera
from facegpt.synthetic.faces import SyntheticFaces, render_samples
from facegpt.synthetic.sampling import FaceSample, sample_face
from facegpt.synthetic.variants import SkinTone, light, with_shape_along, with_yaw

Setting = Callable[[FaceSample, int], FaceSample]
Predictor = Callable[[SyntheticFaces], Theta]
CHUNK = 64
TONES = (0.9, 0.1)
"""Quantiles of the face model's example tones that are called light and dark."""

SHAPES = (-0.28, 0.28)
"""How far from the middle of the sex slider, whose whole way is 1: its quantiles of 10 and 90 % among the heads that
the face model was baked from. Its ends themselves lie beyond three standard deviations of shape.
"""

MEASURES = ("nme_percent", "surface_mm", "rotation_deg")


@dataclass(frozen=True)
class Contrast:
    """A property at two values: `name` says both, `first` and `second` set it on face i of the audit."""

    name: str
    first: Setting
    second: Setting


def contrasts(model: FaceModel) -> list[Contrast]:
    """Lists what an audit changes. Sides alternate between faces; the sex-linked shape needs a model that has one."""
    tone = SkinTone(model)
    bright, dark = (float(np.quantile(tone.examples, quantile)) for quantile in TONES)

    def toned(value: float) -> Setting:
        return lambda sample, _: tone.set(sample, value)

    def lit(strength: float, aside: float = 0.0) -> Setting:
        return lambda sample, i: replace(sample, lighting=light(strength, aside * _side(i)))

    def turned(degrees: float) -> Setting:
        return lambda sample, i: with_yaw(sample, np.deg2rad(degrees) * _side(i))

    contrasts_of_model = [
        Contrast("skin tone: light to dark", toned(bright), toned(dark)),
        Contrast("light: even to from one side", lit(1.0), lit(1.0, aside=1.0)),
        Contrast("light: even to a quarter of it", lit(1.0), lit(0.25)),
        Contrast("pose: frontal to turned by 30 degrees", turned(0), turned(30)),
        Contrast("pose: frontal to turned by 60 degrees", turned(0), turned(60)),
    ]
    direction = sex_linked_shape(model)
    if direction is not None:

        def shaped(place: float) -> Setting:
            along = direction.numpy().astype(np.float64)
            return lambda sample, _: with_shape_along(sample, along, place)

        contrasts_of_model.append(Contrast("sex-linked shape: one side to the other", *map(shaped, SHAPES)))
    return contrasts_of_model


def audit(
    predict: Predictor, model: FaceModel, count: int, seed: int, size: int = 224
) -> dict[str, dict[str, float]]:
    """Measures errors of `count` rendered faces at both values of each contrast, and the mean change within pairs.

    Everything else is the same within a pair: the other parameters, hair, occluders, background, camera and file. The
    camera stands where theta's does, so that the truth has no error.

    Args:
        predict: theta of pictures, on the CPU.
        model: the face model.
        count: how many faces.
        seed: of the stream of faces.
        size: side of the crops in pixels.

    Returns:
        By contrast: for each of ``MEASURES`` its mean at the first value, `_change` to the second and `_change_se`, the
        standard error of that change over the faces. nme_percent is of the distance that the outer eye corners would
        have seen from the front, surface_mm the root mean square over neutral skin after the best similarity transform.
    """
    rng = np.random.default_rng([seed, size])
    drawn = [replace(sample_face(rng, model), perspective=1.0) for _ in range(count)]
    skin = LossPoints(model)
    results = {}
    for contrast in contrasts(model):
        errors = []
        for setting in (contrast.first, contrast.second):
            samples = [setting(sample, i) for i, sample in enumerate(drawn)]
            errors.append(_errors_of(predict, model, skin, samples, seed=seed, size=size))
        results[contrast.name] = _changes(*errors)
    return results


def checkpoint_predictor(checkpoint: Checkpoint, model: FaceModel, faces: SyntheticFaces) -> Theta:
    """Predicts theta of rendered faces with a checkpoint."""
    pixels = checkpoint.processor.pixel_values(faces.images)
    generated = generate_faces(checkpoint.model, checkpoint.processor, pixels, max_new_tokens=1)
    return Theta.split(generated.theta, model.n_shape, model.n_expression, model.n_albedo)


def audit_checkpoint(
    checkpoint: Checkpoint, model: FaceModel, count: int, seed: int, size: int
) -> dict[str, dict[str, float]]:
    """Runs `audit` on a checkpoint."""
    return audit(partial(checkpoint_predictor, checkpoint, model), model, count, seed, size)


@torch.inference_mode()
def face_errors(
    model: FaceModel, skin: LossPoints, predicted: Theta, true: Theta, size: int
) -> dict[str, NDArray[np.float64]]:
    """Computes the ``MEASURES`` (N,) of N faces, by name."""
    predicted_marks, true_marks = _marks(model, predicted, size), _marks(model, true, size)
    eyes = _head_marks(model, true)[:, [36, 45]]
    frontal = (eyes[:, 0] - eyes[:, 1]).norm(dim=-1) * FOCAL_MULTIPLIER * size / -true.translation[:, 2]
    neutral = torch.zeros_like(true.expression)
    surfaces = [skin.points(theta.shape, neutral)[:, -skin.skin :] for theta in (predicted, true)]
    return {
        "nme_percent": (100 * (predicted_marks - true_marks).norm(dim=-1).mean(1) / frontal).double().numpy(),
        "surface_mm": 1e3 * surface_error(*surfaces).sqrt().numpy(),
        "rotation_deg": rotation_error(predicted.rotation, true.rotation).numpy(),
    }


def _errors_of(
    predict: Predictor, model: FaceModel, skin: LossPoints, samples: list[FaceSample], seed: int, size: int
) -> dict[str, NDArray[np.float64]]:
    """Renders the samples, predicts them and computes their errors (N,) by name."""
    parts = []
    for start in range(0, len(samples), CHUNK):
        faces = render_samples(model, samples[start : start + CHUNK], seed + start // CHUNK, size)
        parts.append(face_errors(model, skin, predict(faces), faces.theta, size))
    return {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}


def _changes(
    first: dict[str, NDArray[np.float64]], second: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Averages the errors at the first value and their changes to the second, with standard errors."""
    figures = {"faces": float(len(first[MEASURES[0]]))}
    for name in MEASURES:
        change = second[name] - first[name]
        figures[name] = float(first[name].mean())
        figures[f"{name}_change"] = float(change.mean())
        figures[f"{name}_change_se"] = float(change.std(ddof=1) / len(change) ** 0.5)
    return figures


def _head_marks(model: FaceModel, theta: Theta) -> torch.Tensor:
    return model.landmarks(model.vertices(theta.shape, theta.expression), theta.rotation)


def _marks(model: FaceModel, theta: Theta, size: int) -> torch.Tensor:
    return Camera(size).project(to_camera(_head_marks(model, theta), theta.rotation, theta.translation))[0]


def _side(i: int) -> int:
    return 1 if i % 2 else -1
