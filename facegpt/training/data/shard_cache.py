"""A cache of rendered faces on disk: numbered shards, each made from its own seed, so a training run can be
repeated.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable import FaceModel, Theta, bundled
from facegpt.synthetic.faces import SyntheticFaces, render_faces
from facegpt.training.config.sections import RenderingConfig

CHUNK = 64


@dataclass(frozen=True)
class ShardStore:
    """A store of shards of `faces` synthetic faces of `size` px under `folder`, rendered `without` some parts; shard
    k is the same on every machine.
    """

    folder: Path
    faces: int = 4096
    size: int = 224
    without: tuple[str, ...] = ()

    def path(self, shard: int) -> Path:
        """Names the file of shard `shard`."""
        return self.folder / f"faces-{self.size}px-{self.faces}-{shard:07d}.npz"

    def make(self, model: FaceModel, shard: int) -> Path:
        """Renders shard `shard` unless it exists; written whole or not at all."""
        path = self.path(shard)
        if path.exists():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        chunks = -(-self.faces // CHUNK)
        parts = [
            render_faces(model, seed=shard * chunks + k, count=CHUNK, size=self.size, without=self.without)
            for k in range(chunks)
        ]
        temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
        np.savez(
            temporary,
            images=np.concatenate([part.images for part in parts])[: self.faces],
            theta=torch.cat([part.theta.flat() for part in parts])[: self.faces].numpy(),
            landmarks2d=np.concatenate([part.landmarks2d for part in parts])[: self.faces],
            covered=np.concatenate([part.covered for part in parts])[: self.faces],
            perspective=np.concatenate([part.perspective for part in parts])[: self.faces],
        )
        temporary.replace(path)
        return path

    def load(self, model: FaceModel, shard: int, failed: Callable[[], bool]) -> SyntheticFaces:
        """Reads shard `shard`, waiting for the render process to make it; raises RuntimeError once `failed()`
        is true.
        """
        path = self.path(shard)
        while not path.exists():
            if failed():
                raise RuntimeError(f"the process that renders {path.name} has died; its error stands above")
            time.sleep(0.2)
        with np.load(path) as data:
            arrays: dict[str, npt.NDArray[np.generic]] = {name: data[name] for name in data.files}
        theta = Theta.split(
            torch.from_numpy(arrays["theta"]), model.n_shape, model.n_expression, model.n_albedo
        )
        return SyntheticFaces(
            np.asarray(arrays["images"], np.uint8),
            theta,
            np.asarray(arrays["landmarks2d"], np.float32),
            np.asarray(arrays["covered"], np.float32),
            np.asarray(arrays["perspective"], np.float32),
        )


def store_of(rendering: RenderingConfig, size: int, model: FaceModel) -> ShardStore:
    """Makes the cache of faces of `model` at `size` px: that of another model than the bundled one is a folder of its
    own, by its sha256, and that of each choice of parts left out as well.
    """
    folder = Path(rendering.folder)
    if model.sha256 != bundled().sha256:
        folder = folder / model.sha256[:16]
    if rendering.without:
        folder = folder / "-".join(["without", *sorted(rendering.without)]).replace(" ", "-")
    return ShardStore(folder, rendering.shard_faces, size, rendering.without)


def render_shards(
    rendering: RenderingConfig, size: int, numbers: Iterable[int], face_model: str = "bundled"
) -> None:
    """Renders shards in order on one thread, at low priority: the body of a render process, which ends with its parent,
    however that ends.
    """
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    os.nice(5)
    model = bundled() if face_model == "bundled" else FaceModel.load(Path(face_model).expanduser())
    store = store_of(rendering, size, model)
    for number in numbers:
        store.make(model, number)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
