"""A training run of four steps, each stage one."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegpt.morphable import bundled
from facegpt.training.config import HELD_OUT, TrainConfig
from facegpt.training.data import shard_cache

SHARD_FACES = 8
TINY = (
    *(f"stages.{stage}.steps=1" for stage in ("points", "trunk", "polish", "language")),
    f"rendering.shard_faces={SHARD_FACES}",
    "data.batch=4",
    "data.reuse=2.0",
    "data.pool=1",
    "optimiser.warmup=1",
    "text.every=1",
    "saving.evaluate_every=4",
    "saving.save_every=3",
    "compute.threads=1",
)


def render_tiny(folder: Path, *shards: int, size: int = 224) -> Path:
    """Makes these shards and the held-out one in `folder`, where they are not there yet, of no more faces than they
    hold: a process that renders makes 64 at a time, whatever it then keeps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_cache, "CHUNK", SHARD_FACES)
        store = shard_cache.ShardStore(folder, SHARD_FACES, size)
        for shard in (*shards, HELD_OUT):
            store.make(bundled(), shard)
    return folder


def tiny_config(folder: Path, *changes: str) -> TrainConfig:
    """Makes the config of a run that lies in `folder/run`, changed by overrides; all tests of a process share faces."""
    own = {"output": str(folder / "run"), "rendering": {"folder": str(folder.parent / "faces")}}
    return TrainConfig.of(own, [*TINY, *changes])


def write_config(folder: Path, *changes: str) -> str:
    """Writes such a config to `folder/config.yaml`, and renders its faces; returns its path."""
    render_tiny(folder.parent / "faces", 0, 1, 2)
    path = folder / "config.yaml"
    path.write_text(tiny_config(folder, *changes).as_yaml(), encoding="utf-8")
    return str(path)
