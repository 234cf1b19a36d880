"""Figures on rendered faces: right for a model that knows the truth, 1 for one that knows the mean face alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from facegpt.evaluation import rendered
from facegpt.evaluation.rendered import evaluate_rendered
from facegpt.language.attributes import describe
from facegpt.language.captions import caption, tidy
from facegpt.model.generation import GeneratedFaces
from facegpt.morphable import Theta, bundled
from facegpt.synthetic.faces import SyntheticFaces, render_faces

CHECKPOINT: Any = SimpleNamespace(
    model=None,
    processor=SimpleNamespace(
        pixel_values=lambda images: torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    ),
)


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return render_faces(bundled(), 4321, 48, 224)


def figures(
    monkeypatch: pytest.MonkeyPatch, faces: SyntheticFaces, theta: Theta, texts: list[str]
) -> dict[str, float]:
    """What a model that answers with `theta` and `texts` would get."""
    said = GeneratedFaces(theta.flat(), torch.zeros(len(texts)), texts, [True] * len(texts))
    monkeypatch.setattr(rendered, "generate_faces", lambda *_: said)
    return evaluate_rendered(CHECKPOINT, bundled(), faces, micro_batch=len(texts))


def test_the_truth_scores_best(monkeypatch: pytest.MonkeyPatch, faces: SyntheticFaces) -> None:
    names, true = bundled().expression_names, faces.theta
    rng = np.random.default_rng(0)
    drafts = [caption(face, rng) for face in describe(true[:48], names)]
    texts = [tidy("".join(piece.text for piece in draft)) for draft in drafts]
    found = figures(monkeypatch, faces, true, texts)
    for name in ("rotation_deg", "shape_mse", "surface_mse", "expression_mse", "albedo_mse"):
        assert found[name] < 0.05, name
    assert found["nme_percent"] < 3, "theta's camera is not quite the picture's"
    assert found["caption_agrees"] == found["caption_agrees_with_own"] == 1
    assert 0 < found["actions"] <= 20 and found["actions_of_auc_0.9"] == found["actions"]
    assert found["action_auc_mean"] == 1
    assert 0 < found["nme_box_percent_yaw_0_30"] < 3


def test_the_mean_face_scores_one(monkeypatch: pytest.MonkeyPatch, faces: SyntheticFaces) -> None:
    true = faces.theta
    mean = Theta(
        torch.zeros_like(true.shape),
        true.expression.mean(0).expand_as(true.expression),
        torch.zeros_like(true.albedo),
        true.lighting,
        true.rotation_vector,
        true.translation,
    )
    found = figures(monkeypatch, faces, mean, ["a face looking straight ahead."] * 48)
    assert found["shape_mse"] == pytest.approx(1, abs=0.1) and found["surface_mse"] == pytest.approx(1)
    assert found["expression_mse_of_variance"] == pytest.approx(47 / 48, abs=1e-3)
    assert found["caption_agrees"] < 0.5
    assert found["action_auc_mean"] == 0.5, "who says the same of every face ranks none"
