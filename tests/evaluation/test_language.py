"""Figures of text to 3D and of chat, on a checkpoint that has learned nothing."""

from __future__ import annotations

import pytest
import torch

from facegpt.evaluation.language import evaluate_chat, evaluate_descriptions, evaluate_every_question
from facegpt.model.checkpoint import Checkpoint
from facegpt.model.generation import GeneratedFaces
from facegpt.morphable import bundled
from facegpt.synthetic.faces import SyntheticFaces, render_faces
from facegpt.training.data.writer import small_processor
from facegpt.training.start.small_model import small_model


@pytest.fixture(scope="module")
def untrained() -> Checkpoint:
    model = small_model(bundled(), seed=0).eval()
    image_tokens = model.config.backbone_config.image_seq_length
    return Checkpoint(model, small_processor(bundled(), image_tokens, 1024), "none")


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return render_faces(bundled(), seed=3, count=24)


def test_who_has_learned_nothing_is_no_better_than_the_mean_face(
    untrained: Checkpoint, faces: SyntheticFaces
) -> None:
    figures = evaluate_descriptions(untrained, bundled(), faces, 24)
    assert figures["described_present"] < figures["described_by_mean_face"] + 0.15
    assert 0.05 < figures["described_by_mean_face"] < 0.7
    assert figures["described_wholly"] <= figures["described_present"]
    assert figures == evaluate_descriptions(untrained, bundled(), faces, 24)


def test_babble_answers_nothing(untrained: Checkpoint, faces: SyntheticFaces) -> None:
    assert evaluate_chat(untrained, bundled(), faces, 6) == {"chat_right": 0.0}


def test_who_always_says_yes_is_right_about_half_of_every_question(
    untrained: Checkpoint, faces: SyntheticFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def yes(_: object, __: object, pixels: torch.Tensor, *, question: str) -> GeneratedFaces:
        count = len(pixels)
        return GeneratedFaces(torch.zeros(count, 1), torch.zeros(count), ["Yes."] * count, [True] * count)

    monkeypatch.setattr("facegpt.evaluation.language.generate_faces", yes)
    figures = evaluate_every_question(untrained, bundled(), faces)
    assert figures["chat_balanced_is there a smile"] == 0.5
    assert figures["chat_balanced_is the head turned to the left"] == 0.5
    assert figures["chat_balanced_which way does the head turn"] == 0.0
    assert figures["chat_balanced_lowest"] == 0.0
    assert set(figures.values()) <= {0.0, 0.5, figures["chat_balanced"]}


def test_a_question_with_one_answer_alone_is_not_counted(untrained: Checkpoint) -> None:
    one = render_faces(bundled(), seed=3, count=1)
    assert evaluate_every_question(untrained, bundled(), one) == {}
