"""Feeds rendered shards to the training loop: a sliding pool of shards from which each round draws at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegpt.morphable import FaceModel, Theta
from facegpt.synthetic.faces import SyntheticFaces
from facegpt.training.config import TrainConfig
from facegpt.training.data.shard_cache import ShardStore


@dataclass(frozen=True)
class Batch:
    """B training faces: images (B,3,W,W) in 0..1, theta, landmarks2d (B,68,2) px, covered (B,), perspective (B,)."""

    images: Tensor
    theta: Theta
    landmarks2d: Tensor
    covered: Tensor
    perspective: Tensor


def take(faces: SyntheticFaces, index: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Batch:
    """The faces at `index` as tensors."""
    images = torch.from_numpy(faces.images[index]).permute(0, 3, 1, 2).float().div_(255)
    return Batch(
        images,
        faces.theta[torch.from_numpy(index)],
        torch.from_numpy(faces.landmarks2d[index]),
        torch.from_numpy(faces.covered[index]),
        torch.from_numpy(faces.perspective[index]),
    )


def batches_per_round(config: TrainConfig) -> int:
    """Steps between two changes of the pool."""
    return max(1, round(config.reuse * config.shard_faces / (config.batch * config.workers)))


def shards_needed(config: TrainConfig) -> range:
    """Numbers of the shards that a whole run reads, in the order in which it first needs them."""
    rounds = -(-config.steps // batches_per_round(config))
    return range(config.first_shard, config.first_shard + config.pool + rounds)


class ShardPool:
    """Round r adds shard `first + r` to the pool, drops the oldest, and draws `reuse` shards' worth of batches, others
    for each `rank` of the processes that train together.
    """

    def __init__(
        self,
        config: TrainConfig,
        store: ShardStore,
        model: FaceModel,
        failed: Callable[[], bool],
        rank: int = 0,
    ) -> None:
        self.seed = [config.seed, *([rank] if rank else [])]
        self.config, self.store, self.model, self.failed = config, store, model, failed
        self.batches_per_round = batches_per_round(config)

    def batches(self, start: int) -> Iterator[Batch]:
        """Batches from step `start` on: the same whatever step the run was resumed at."""
        c = self.config
        held: dict[int, SyntheticFaces] = {}
        step = start
        while True:
            current, offset = divmod(step, self.batches_per_round)
            # The first rounds already mix as many shards as later ones: the pool starts filled.
            wanted = range(c.first_shard + current, c.first_shard + current + c.pool)
            held = {shard: held.get(shard) or self._load(shard) for shard in wanted}
            rng = np.random.default_rng([*self.seed, current])
            shards = rng.integers(c.pool, size=self.batches_per_round * 4)
            for number in range(self.batches_per_round):
                picks = [
                    (wanted[shard], rng.choice(c.shard_faces, c.batch // 4, replace=False))
                    for shard in shards[number * 4 : number * 4 + 4]
                ]
                if number >= offset:
                    yield join([take(held[shard], index) for shard, index in picks])
                    step += 1

    def _load(self, shard: int) -> SyntheticFaces:
        return self.store.load(self.model, shard, self.failed)


def join(parts: list[Batch]) -> Batch:
    """Concatenates batches."""
    return Batch(
        torch.cat([part.images for part in parts]),
        Theta.concatenate([part.theta for part in parts]),
        torch.cat([part.landmarks2d for part in parts]),
        torch.cat([part.covered for part in parts]),
        torch.cat([part.perspective for part in parts]),
    )
