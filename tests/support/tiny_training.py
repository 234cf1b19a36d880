"""A training run of four steps, each stage one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facegpt.morphable import bundled
from facegpt.training.data import shard_cache

TINY = {
    "points_steps": 1,
    "trunk_steps": 1,
    "polish_steps": 1,
    "language_steps": 1,
    "shard_faces": 8,
    "batch": 4,
    "reuse": 2.0,
    "pool": 1,
    "warmup": 1,
    "text_every": 1,
    "evaluate_every": 4,
    "save_every": 3,
    "threads": 1,
}


def render_tiny(folder: Path, *shards: int, size: int = 224) -> Path:
    """Makes these shards and the held-out one in `folder`, where they are not there yet, of no more faces than they
    hold: a process that renders makes 64 at a time, whatever it then keeps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_cache, "CHUNK", TINY["shard_faces"])
        store = shard_cache.ShardStore(folder, int(TINY["shard_faces"]), size)
        for shard in (*shards, shard_cache.HELD_OUT):
            store.make(bundled(), shard)
    return folder


def write_config(folder: Path, **changes: object) -> str:
    """The path of `folder/config.yaml`, whose run lies in `folder/run`, and whose faces are rendered already; all tests
    of a process share these.
    """
    path = folder / "config.yaml"
    faces = render_tiny(folder.parent / "faces", 0, 1, 2)
    own = {"output": str(folder / "run"), "synthetic_folder": str(faces)}
    path.write_text(yaml.safe_dump({**own, **TINY, **changes}), encoding="utf-8")
    return str(path)
