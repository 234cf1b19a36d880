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
from facegpt.training.config.sections import DRAWS
from facegpt.training.data.shard_cache import ShardStore


@dataclass(frozen=True)
class Batch:
    """A batch of B training faces: images (B,3,W,W) in 0..1, theta, landmarks2d (B,68,2) px, covered (B,),
    perspective (B,).
    """

    images: Tensor
    theta: Theta
    landmarks2d: Tensor
    covered: Tensor
    perspective: Tensor


def take(faces: SyntheticFaces, index: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Batch:
    """Takes the faces at `index` (B,) as tensors."""
    images = torch.from_numpy(faces.images[index]).permute(0, 3, 1, 2).float().div_(255)
    return Batch(
        images,
        faces.theta[torch.from_numpy(index)],
        torch.from_numpy(faces.landmarks2d[index]),
        torch.from_numpy(faces.covered[index]),
        torch.from_numpy(faces.perspective[index]),
    )


class ShardPool:
    """A sliding pool of shards. Round r adds shard `first_shard + r`, drops the oldest, and draws `reuse` shards' worth
    of batches, others for each `rank` of the processes that train together.
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

    def batches(self, start: int) -> Iterator[Batch]:
        """Yields the batches from step `start` on: the same whatever step the run was resumed at."""
        c, steps = self.config, self.config.steps_per_round
        loaded: dict[int, SyntheticFaces] = {}
        step = start
        while True:
            current, offset = divmod(step, steps)
            # The first rounds already mix as many shards as later ones: the pool starts filled.
            first = c.data.first_shard + current
            wanted = range(first, first + c.data.pool)
            loaded = {shard: loaded.get(shard) or self._load(shard) for shard in wanted}
            rng = np.random.default_rng([*self.seed, current])
            shards = rng.integers(c.data.pool, size=steps * DRAWS)
            for number in range(steps):
                picks = [
                    (wanted[shard], rng.choice(c.rendering.shard_faces, size, replace=False))
                    for shard, size in zip(
                        shards[number * DRAWS : (number + 1) * DRAWS], parts(c.data.batch), strict=True
                    )
                ]
                if number >= offset:
                    yield join([take(loaded[shard], index) for shard, index in picks if len(index)])
                    step += 1

    def _load(self, shard: int) -> SyntheticFaces:
        return self.store.load(self.model, shard, self.failed)


def parts(batch: int) -> list[int]:
    """Splits a batch into the `DRAWS` parts that are each drawn from one shard; they differ by 1 at most."""
    return [batch // DRAWS + (part < batch % DRAWS) for part in range(DRAWS)]


def join(parts: list[Batch]) -> Batch:
    """Concatenates batches."""
    return Batch(
        torch.cat([part.images for part in parts]),
        Theta.concatenate([part.theta for part in parts]),
        torch.cat([part.landmarks2d for part in parts]),
        torch.cat([part.covered for part in parts]),
        torch.cat([part.perspective for part in parts]),
    )
