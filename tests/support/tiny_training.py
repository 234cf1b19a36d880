"""A training run of four steps, each stage one."""

from __future__ import annotations

from pathlib import Path

import yaml

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


def write_config(folder: Path, **changes: object) -> str:
    """The path of `folder/config.yaml`, whose run lies in `folder/run` and whose faces lie in `folder/faces`."""
    path = folder / "config.yaml"
    own = {"output": str(folder / "run"), "synthetic_folder": str(folder / "faces")}
    path.write_text(yaml.safe_dump({**own, **TINY, **changes}), encoding="utf-8")
    return str(path)
