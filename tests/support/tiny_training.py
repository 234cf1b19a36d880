"""A training run of four steps, each stage one."""

from __future__ import annotations

from pathlib import Path

from facegpt.training.config import TrainConfig

TINY = (
    *(f"stages.{stage}.steps=1" for stage in ("points", "trunk", "polish", "language")),
    "rendering.shard_faces=8",
    "data.batch=4",
    "data.reuse=2.0",
    "data.pool=1",
    "optimiser.warmup=1",
    "text.every=1",
    "saving.evaluate_every=4",
    "saving.save_every=3",
    "compute.threads=1",
)


def tiny_config(folder: Path, *changes: str) -> TrainConfig:
    """Makes the config of a run that lies in `folder/run`, with faces in `folder/faces`, changed by overrides."""
    own = {"output": str(folder / "run"), "rendering": {"folder": str(folder / "faces")}}
    return TrainConfig.of(own, [*TINY, *changes])


def write_config(folder: Path, *changes: str) -> str:
    """Writes such a config to `folder/config.yaml`; returns its path."""
    path = folder / "config.yaml"
    path.write_text(tiny_config(folder, *changes).as_yaml(), encoding="utf-8")
    return str(path)
