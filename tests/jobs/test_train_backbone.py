"""`facegpt train` on somebody else's backbone: adapters or all weights, on from where it stopped, and what it keeps."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
import yaml
from tiny_backbones import CROP, backbone
from tiny_training import render_tiny

from facegpt.model.annotator import FaceAnnotator
from facegpt.model.backbones.join import load_backbone
from facegpt.model.checkpoint import Checkpoint, load
from facegpt.morphable import bundled
from facegpt.training.config import TrainConfig
from facegpt.training.loss.retention import Retention
from jobs.cli import main
from jobs.train import train

TINY = (
    "stages.face.steps=3",
    f"start.crop_size={CROP}",
    "text.descriptions=2",
    "saving.evaluate_every=3",
    *(
        setting
        for setting in tiny_training.TINY
        if not setting.startswith(("stages.", "saving.evaluate_every"))
    ),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rendered shards for all of these runs."""
    return str(render_tiny(tmp_path_factory.mktemp("faces"), *range(5), size=CROP))


def save(family: str, folder: Path) -> str:
    model, processor = backbone(family)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def config(folder: Path, faces: str, *changes: str) -> TrainConfig:
    return TrainConfig.of({"output": str(folder / "run"), "rendering": {"folder": faces}}, [*TINY, *changes])


def trained(config: TrainConfig) -> Checkpoint:
    return load(str(train(config, bundled(), lambda: False)))


@pytest.mark.parametrize(
    ("family", "rank"), [("llava", 4), ("qwen2_5_vl", 0), ("gemma3", 4), ("idefics3", 0)]
)
def test_a_backbone_becomes_a_facegpt_that_annotates(
    family: str, rank: int, tmp_path: Path, faces: str
) -> None:
    if rank:
        pytest.importorskip("peft", reason="adapters want the extra lora")
    name = save(family, tmp_path / "backbone")
    checkpoint = trained(config(tmp_path, faces, f"start.backbone={name}", f"start.lora_rank={rank}"))
    crops = np.random.default_rng(0).integers(0, 256, (3, CROP, CROP, 3), dtype=np.uint8)
    faces_of_crops = FaceAnnotator(checkpoint, bundled()).annotate(crops)
    assert len(faces_of_crops) == 3 and all(np.isfinite(face.landmarks68).all() for face in faces_of_crops)
    before, after = load_backbone(Path(name)).state_dict(), checkpoint.model.backbone.state_dict()
    assert not any("lora" in name for name in after)
    row, moved = checkpoint.model.config.face_token_id, 0.0
    for key, old in before.items():
        new = after[key][: len(old)] if old.ndim else after[key]
        change = (new.float() - old.float()).abs()
        moved = max(moved, float(change.max()))
        if len(change) > row:
            change[row] = 0
        assert change.max() < 0.02, f"three steps of a small rate turned {key} into something else"
    assert moved > 0


def test_a_run_with_adapters_goes_on_where_it_stopped(
    tmp_path: Path, faces: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("peft", reason="adapters want the extra lora")
    caplog.set_level(logging.INFO, "facegpt.train")
    name = save("llava", tmp_path / "backbone")
    adapters = (f"start.backbone={name}", "start.lora_rank=4")
    trained(config(tmp_path, faces, *adapters))
    saved = torch.load(tmp_path / "run" / "training.pt", weights_only=True)
    assert saved["step"] == 3 and any("lora" in name for name in saved["model"])
    assert not any("base_layer.weight" in name for name in saved["model"]), (
        "frozen weights are not saved again"
    )
    trained(config(tmp_path, faces, *adapters, "stages.face.steps=5"))
    assert "going on at step 3" in caplog.messages


def test_retention_bounds_what_a_backbone_forgets(tmp_path: Path, faces: str) -> None:
    """Two runs that differ in one weight, and the drift of what they say to ordinary questions."""
    name = save("qwen2_5_vl", tmp_path / "backbone")
    first, drifts = load_backbone(Path(name)), {}
    for weight in (0.0, 100.0):
        changes = ["stages.face.steps=12", "stages.face.learning_rate=3e-3", "text.descriptions=0"]
        changes += [f"weights.retained={weight}", f"start.backbone={name}"]
        drifts[weight] = drift(first, trained(config(tmp_path / str(weight), faces, *changes)))
    assert drifts[100.0] < drifts[0.0] / 3 and drifts[100.0] < 0.05, drifts


@torch.no_grad()
def drift(first: torch.nn.Module, own: Checkpoint) -> float:
    """Mean divergence in nats a token over the answers that `own` gives."""
    divergences = []
    for one in Retention(own.model, own.processor).exchanges:
        then = first(input_ids=one.ids).logits[0].log_softmax(-1)
        now = own.model.backbone(input_ids=one.ids).logits[0, :, : then.shape[-1]].log_softmax(-1)
        divergences.append(float((then.exp() * (then - now)).sum(-1).mean()))
    return sum(divergences) / len(divergences)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["start.backbone=./nowhere"], "no backbone folder at ./nowhere"),
        (["start.backbone=x", "start.initial=bundled"], "two things to start from"),
        (["start.backbone=x", "stages.points.steps=5"], "stages.points.steps is for the small FaceGPT"),
        (["start.backbone=x", "stages.face.steps=0"], "learns in stages.face.steps, and there are none"),
        (["start.lora_rank=4"], "start.lora_rank is for a start.backbone"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    changes: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"output": str(tmp_path / "run")}), encoding="utf-8")
    overrides = [argument for change in [*TINY, *changes] for argument in ("--set", change)]
    assert main(["train", str(path), *overrides]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
