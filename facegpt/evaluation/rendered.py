"""Figures of a checkpoint on rendered faces, whose parameters are all known."""

from __future__ import annotations

import torch
from torch import Tensor

from facegpt.evaluation.bins import YAW_EDGES, by_bin
from facegpt.evaluation.geometry import (
    coefficient_error,
    landmark_box_error,
    landmark_nme,
    rotation_error,
    surface_error,
)
from facegpt.evaluation.ranking import action_auc, rank_correlation
from facegpt.language.agreement import agreement
from facegpt.language.attributes import describe
from facegpt.model.checkpoint import Checkpoint
from facegpt.model.generation import GeneratedFaces, generate_faces
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.point_subset import LossPoints
from facegpt.rendering import linear_to_srgb, matrix_to_euler, render
from facegpt.rendering.psnr import psnr
from facegpt.synthetic.faces import SyntheticFaces


@torch.inference_mode()
def evaluate_rendered(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, micro_batch: int = 64
) -> dict[str, float]:
    """Measures errors over rendered faces.

    nme_percent: of the outer eye distance, faces turned up to 60 degrees; rotation_deg: median angle; shape_mse: mean
    over coefficients in units of variance (1 is the mean face); surface_mse: squared error of neutral skin points over
    that of the mean face, both after the best similarity transform; expression_mse and
    expression_mse_of_variance; albedo_mse in units of variance; psnr_db: rendering against picture inside the face;
    quality_rank_correlation of quality with the error; nme_box_percent_yaw_FROM_TO: error of the points over the size
    of their box, by true |yaw|; action_auc_NAME: ROC AUC of each of the 20 actions that are most often active
    (`facegpt.evaluation.ranking`), their mean, and how many have 0.9 or more. Captions: see `_caption_figures`.
    """
    parts: list[GeneratedFaces] = []
    decibels: list[Tensor] = []
    landmarks: list[Tensor] = []
    for start in range(0, len(faces.images), micro_batch):
        pixels = checkpoint.processor.pixel_values(faces.images[start : start + micro_batch])
        generated = generate_faces(checkpoint.model, checkpoint.processor, pixels)
        theta = _split(generated.theta, face_model)
        rendering = render(face_model, theta, pixels.shape[-1])
        decibels.append(psnr(linear_to_srgb(rendering.image.clamp(0, 1)), pixels, rendering.mask))
        landmarks.append(rendering.landmarks2d)
        parts.append(generated)
    predicted, true = _split(torch.cat([part.theta for part in parts]), face_model), faces.theta
    nme = 100 * landmark_nme(torch.cat(landmarks), faces.landmarks2d).per_face
    box_error = 100 * landmark_box_error(torch.cat(landmarks), faces.landmarks2d).numpy()
    turned = true.rotation[:, :, 2]
    frontal = (turned[:, 2] > 0.5) & torch.isfinite(nme)
    log_error = torch.cat([part.log_error for part in parts])
    expression = (predicted.expression - true.expression).square().mean()
    all_decibels = torch.cat(decibels)
    auc = action_auc(predicted.expression.numpy(), true.expression.numpy(), face_model.expression_names)
    yaw = matrix_to_euler(true.rotation)[0].abs().numpy()
    return {
        "faces": float(len(true)),
        "nme_percent": float(nme[frontal].mean()),
        "rotation_deg": float(rotation_error(predicted.rotation, true.rotation).median()),
        "shape_mse": float(coefficient_error(predicted.shape, true.shape).mean()),
        "surface_mse": _surface_mse(face_model, predicted, true),
        "expression_mse": float(expression),
        "expression_mse_of_variance": float(expression / true.expression.var(0).mean()),
        "albedo_mse": float(coefficient_error(predicted.albedo, true.albedo).mean()),
        "psnr_db": float(all_decibels[torch.isfinite(all_decibels)].mean()),
        **_caption_figures(face_model, [text for part in parts for text in part.texts], predicted, true),
        "quality_rank_correlation": rank_correlation(-log_error[frontal].numpy(), nme[frontal].numpy()),
        **by_bin("nme_box_percent_yaw", box_error, yaw, YAW_EDGES),
        **_summary(auc),
    }


def _surface_mse(face_model: FaceModel, predicted: Theta, true: Theta) -> float:
    """Computes the squared error of neutral skin points over that of the mean face."""
    skin = LossPoints(face_model)
    neutral = torch.zeros_like(true.expression)
    predicted_skin, true_skin = (
        skin.points(theta.shape, neutral)[:, -skin.skin :] for theta in (predicted, true)
    )
    error = surface_error(predicted_skin, true_skin).sum()
    spread = surface_error(skin.mean[-skin.skin :].expand_as(true_skin), true_skin).sum()
    return float(error / spread)


def _caption_figures(
    face_model: FaceModel, texts: list[str], predicted: Theta, true: Theta
) -> dict[str, float]:
    """Compares captions with parameters.

    caption_agrees: share of faces whose caption agrees strictly with the true parameters; caption_statements: how many
    statements a caption makes, and caption_statements_right, the share of them that is true; caption_agrees_with_own:
    share of faces whose caption agrees strictly with the parameters that the model itself predicted.
    """
    of_truth, of_prediction = (describe(theta, face_model.expression_names) for theta in (true, predicted))
    with_truth = [agreement(text, face) for text, face in zip(texts, of_truth, strict=True)]
    with_own = [agreement(text, face) for text, face in zip(texts, of_prediction, strict=True)]
    right = sum(len(agreed.right) for agreed in with_truth)
    statements = right + sum(len(agreed.wrong) for agreed in with_truth)
    return {
        "caption_agrees": sum(agreed.strict for agreed in with_truth) / len(texts),
        "caption_statements": statements / len(texts),
        "caption_statements_right": right / max(statements, 1),
        "caption_agrees_with_own": sum(agreed.strict for agreed in with_own) / len(texts),
    }


def _summary(auc: dict[str, float]) -> dict[str, float]:
    """Names the figures of ROC AUCs by action."""
    if not auc:
        return {}
    values = list(auc.values())
    return {
        "action_auc_mean": sum(values) / len(values),
        "actions": float(len(values)),
        "actions_of_auc_0.9": float(sum(value >= 0.9 for value in values)),
        **{f"action_auc_{name}": value for name, value in auc.items()},
    }


def _split(theta: Tensor, model: FaceModel) -> Theta:
    return Theta.split(theta, model.n_shape, model.n_expression, model.n_albedo)
