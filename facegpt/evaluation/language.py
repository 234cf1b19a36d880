"""Figures of a checkpoint's language: faces made from descriptions, and answers to questions about faces."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from facegpt.language.attributes import describe
from facegpt.language.descriptions import describe_face, present
from facegpt.language.dialogues import Wordings, answer, certain_answers
from facegpt.language.features import FEATURES, FormMeasures
from facegpt.model.checkpoint import Checkpoint
from facegpt.model.generation import generate_faces
from facegpt.model.imagination import imagine
from facegpt.morphable import FaceModel
from facegpt.morphable.point_subset import LossPoints
from facegpt.synthetic.faces import SyntheticFaces


@torch.inference_mode()
def evaluate_descriptions(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, count: int = 256
) -> dict[str, float]:
    """Measures text to 3D on descriptions of `count` faces that are not in the training set.

    described_present: share of the named values that the imagined face has, measured on its parameters and its
    landmarks; described_wholly: share of descriptions all of whose values it has. described_by_mean_face: the first
    figure for the mean face, the share that is present without a description. imagined_shape_spread: standard deviation
    of shape coefficients between two seeds, in units of the prior's.
    """
    rng = np.random.default_rng(0)
    form = FormMeasures(LossPoints(face_model, skin=0))
    true, names = faces.theta, face_model.expression_names
    attributes, forms = describe(true, names), form(true.shape).tolist()
    present_rows: list[list[bool]] = []
    in_mean_face: list[bool] = []
    spread = 0.0
    mean_theta = true[:1].map(torch.zeros_like)
    mean_theta.lighting = faces.theta.lighting.mean(0, keepdim=True)
    mean_face = describe(mean_theta, names)[0]
    for i in range(min(count, len(true))):
        described = describe_face(attributes[i], dict(zip(FEATURES, forms[i], strict=True)), rng)
        imagined = imagine(
            checkpoint.model,
            checkpoint.processor,
            described.text,
            (2 * i, 2 * i + 1),
            face_model.albedo_examples,
        )
        imagined_form = dict(zip(FEATURES, form(imagined.shape)[0].tolist(), strict=True))
        present_rows.append(present(described, describe(imagined, names)[0], imagined_form))
        in_mean_face += present(described, mean_face, dict.fromkeys(FEATURES, 0.0))
        spread += float((imagined.shape[0] - imagined.shape[1]).square().mean()) / 2
    return {
        "described_present": float(np.mean([flag for row in present_rows for flag in row])),
        "described_wholly": float(np.mean([all(row) for row in present_rows])),
        "described_by_mean_face": float(np.mean(in_mean_face)),
        "imagined_shape_spread": (spread / len(present_rows)) ** 0.5,
    }


@torch.inference_mode()
def evaluate_chat(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, count: int = 512
) -> dict[str, float]:
    """Asks a question each about `count` faces; chat_right: share of right answers (yes or no, which, how much)."""
    rng = np.random.default_rng(1)
    attributes = describe(faces.theta, face_model.expression_names)
    faces_by_question: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for i in range(min(count, len(attributes))):
        question, reply = answer(attributes[i], rng)
        faces_by_question[question].append((i, reply))
    right = 0
    for question, rows in sorted(faces_by_question.items()):
        pixels = checkpoint.processor.pixel_values(faces.images[[i for i, _ in rows]])
        generated = generate_faces(checkpoint.model, checkpoint.processor, pixels, question=question)
        right += sum(text == reply for text, (_, reply) in zip(generated.texts, rows, strict=True))
    return {"chat_right": right / sum(map(len, faces_by_question.values()))}


@torch.inference_mode()
def evaluate_every_question(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, each: int = 24
) -> dict[str, float]:
    """Asks every question about up to `each` faces of each of its answers, with its wordings in turn.

    chat_balanced_QUESTION: mean over the answers of the share answered rightly, 0.5 for a model that always says yes;
    chat_balanced: mean over the questions; chat_balanced_lowest: the least of them. Questions of which `faces` have
    one answer alone are left out.
    """
    having: dict[Wordings, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, attributes in enumerate(describe(faces.theta, face_model.expression_names)):
        for wordings, reply in certain_answers(attributes).items():
            if len(having[wordings][reply]) < each:
                having[wordings][reply].append(i)
    figures: dict[str, float] = {}
    for wordings, replies in having.items():
        if len(replies) > 1:
            shares = [
                _right(checkpoint, faces, wordings, reply, rows) / len(rows)
                for reply, rows in replies.items()
            ]
            figures[f"chat_balanced_{wordings[0]}"] = float(np.mean(shares))
    if not figures:
        return {}
    values = list(figures.values())
    return {"chat_balanced": float(np.mean(values)), "chat_balanced_lowest": min(values), **figures}


def _right(
    checkpoint: Checkpoint, faces: SyntheticFaces, wordings: Wordings, reply: str, rows: list[int]
) -> int:
    """Counts how many of the faces `rows` get the answer `reply`, each wording asked about as many of them."""
    right = 0
    for place, question in enumerate(wordings):
        if asked_rows := rows[place :: len(wordings)]:
            pixels = checkpoint.processor.pixel_values(faces.images[asked_rows])
            generated = generate_faces(checkpoint.model, checkpoint.processor, pixels, question=question)
            right += generated.texts.count(reply)
    return right
