"""Everything that decides a training run: two runs of one config on one machine give the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from facegpt.training.losses import LossWeights


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `facegpt train`; `shards` of 4,096 rendered faces, each shown about `reuse` times."""

    output: str
    initial: str | None = None
    synthetic_folder: str = ".cache/synthetic"
    shard_faces: int = 4096
    size: int = 112
    seed: int = 0
    steps: int = 6000
    batch: int = 64
    reuse: float = 4.0
    pool: int = 8
    first_shard: int = 0
    learning_rate: float = 1.5e-3
    final_learning_rate: float = 1e-5
    warmup: int = 200
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.998
    text_every: int = 4
    text_weight: float = 1.0
    bfloat16: bool = True
    evaluate_every: int = 500
    save_every: int = 250
    threads: int = 2
    device: str = "cpu"
    weights: LossWeights = field(default_factory=LossWeights)
