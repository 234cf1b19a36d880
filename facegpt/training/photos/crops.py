"""Crops of faces in photos, wider than a model's crop, so that training can take many views of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MARGIN = 1.5
"""Side of a wide crop in sides of a model's crop."""


@dataclass(frozen=True)
class PhotoCrops:
    """The wide crops (N,S,S,3) of N faces, sRGB; `size` px is the side of the model's crop in their middle."""

    images: npt.NDArray[np.uint8]
    size: int

    def __post_init__(self) -> None:
        side = wide_side(self.size)
        if self.images.dtype != np.uint8 or self.images.shape[1:] != (side, side, 3):
            raise ValueError(f"wide crops of {self.images.shape}, where (N, {side}, {side}, 3) is wanted")

    def __len__(self) -> int:
        return len(self.images)

    def save(self, path: Path) -> None:
        """Writes them to an .npz file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
        np.savez(temporary, images=self.images, size=self.size)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> PhotoCrops:
        """Reads what `save` wrote."""
        with np.load(path) as data:
            return cls(np.asarray(data["images"], np.uint8), int(data["size"]))

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """Draws `count` of them at random, about half of them mirrored: (count,3,S,S) in 0..1."""
        chosen = self.images[rng.choice(len(self.images), count, replace=count > len(self.images))]
        mirrored = rng.random(count) < 0.5
        chosen = np.where(mirrored[:, None, None, None], chosen[:, :, ::-1], chosen)
        return torch.from_numpy(np.ascontiguousarray(chosen)).permute(0, 3, 1, 2).float().div_(255)


def wide_side(size: int) -> int:
    """Computes the side in px of the wide crop around a crop of `size` px."""
    return round(MARGIN * size)
