"""How well a checkpoint uses words: faces made from descriptions, and questions about faces."""

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
    """Text to 3D on descriptions of `count` faces that training never saw.

    described_present: share of what descriptions name that the face made has, measured on its parameters and its
    landmarks; described_wholly: share of descriptions with everything there. described_by_mean_face: the first figure
    for the mean face, which shows how much is there by itself. imagined_shape_spread: standard deviation of shape
    coefficients between two seeds, in units of the prior's.
    """
    rng = np.random.default_rng(0)
    form = FormMeasures(LossPoints(face_model, skin=0))
    true, names = faces.theta, face_model.expression_names
    seen, forms = describe(true, names), form(true.shape).tolist()
    there: list[list[bool]] = []
    plain: list[bool] = []
    spread = 0.0
    nothing = true[:1].map(torch.zeros_like)
    nothing.lighting = faces.theta.lighting.mean(0, keepdim=True)
    mean_face = describe(nothing, names)[0]
    for i in range(min(count, len(true))):
        described = describe_face(seen[i], dict(zip(FEATURES, forms[i], strict=True)), rng)
        made = imagine(
            checkpoint.model,
            checkpoint.processor,
            described.text,
            (2 * i, 2 * i + 1),
            face_model.albedo_examples,
        )
        own = dict(zip(FEATURES, form(made.shape)[0].tolist(), strict=True))
        there.append(present(described, describe(made, names)[0], own))
        plain += present(described, mean_face, dict.fromkeys(FEATURES, 0.0))
        spread += float((made.shape[0] - made.shape[1]).square().mean()) / 2
    named = [one for row in there for one in row]
    return {
        "described_present": float(np.mean(named)),
        "described_wholly": float(np.mean([all(row) for row in there])),
        "described_by_mean_face": float(np.mean(plain)),
        "imagined_shape_spread": (spread / len(there)) ** 0.5,
    }


@torch.inference_mode()
def evaluate_chat(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, count: int = 512
) -> dict[str, float]:
    """chat_right: share of questions (yes or no, which, how much) about `count` unseen faces with the right answer."""
    rng = np.random.default_rng(1)
    seen = describe(faces.theta, face_model.expression_names)
    asked: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for i in range(min(count, len(seen))):
        question, reply = answer(seen[i], rng)
        asked[question].append((i, reply))
    right = 0
    for question, rows in sorted(asked.items()):
        pixels = checkpoint.processor.pixel_values(faces.images[[i for i, _ in rows]])
        said = generate_faces(checkpoint.model, checkpoint.processor, pixels, question=question)
        right += sum(text == reply for text, (_, reply) in zip(said.texts, rows, strict=True))
    return {"chat_right": right / sum(map(len, asked.values()))}


@torch.inference_mode()
def evaluate_every_question(
    checkpoint: Checkpoint, face_model: FaceModel, faces: SyntheticFaces, each: int = 24
) -> dict[str, float]:
    """Every question, put to up to `each` faces of each of its answers, its wordings in turn.

    chat_balanced_QUESTION: mean over the answers of the share answered rightly, 0.5 for who always says yes;
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
    """How many of the faces `rows` get the answer `reply`, each wording put to as many of them."""
    right = 0
    for place, question in enumerate(wordings):
        if put := rows[place :: len(wordings)]:
            pixels = checkpoint.processor.pixel_values(faces.images[put])
            said = generate_faces(checkpoint.model, checkpoint.processor, pixels, question=question)
            right += said.texts.count(reply)
    return right
