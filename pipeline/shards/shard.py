"""A shard on its way through a run: to do, detected, annotated, committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.shards.costs import Costs
from pipeline.storage.locations import Entry


@dataclass(frozen=True)
class ShardRef:
    """Where a shard of `n_images` images lies in the manifest: all that the driver holds of it."""

    shard: str
    manifest_key: str
    row_group: int
    n_images: int


@dataclass(frozen=True)
class ShardTask:
    """Shard to be executed: its id and its images."""

    shard: str
    images: tuple[Entry, ...]


@dataclass
class ImageRecord:
    """Row of the ledger (the table `images`) in the making; the fields are its columns."""

    uri: str
    shard: str
    status: str
    stage: str
    image_id: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    reason: str | None = None
    n_faces: int = 0
    source_caption: str | None = None


@dataclass(frozen=True)
class DetectedFace:
    """Detected face, cropped.

    `image`: index of its image in the shard; `box`: x0, y0, x1, y1; `landmarks5`: (5, 2), or None where the detector
    gives none; `crop_matrix`: (2, 3), image to crop. Boxes, points and `face_px` are in pixels of the upright image.
    """

    image: int
    face_id: str
    face_index: int
    box: tuple[float, float, float, float]
    det_score: float
    landmarks5: NDArray[np.float64] | None
    crop_matrix: NDArray[np.float64]
    face_px: float


@dataclass
class DetectedShard:
    """Shard after detection: a record per image, and `crops` uint8 sRGB (N, W, W, 3), one per face."""

    shard: str
    images: list[ImageRecord]
    faces: list[DetectedFace]
    crops: NDArray[np.uint8]
    costs: Costs = field(default_factory=Costs)


@dataclass
class MeshData:
    """Meshes in the head frame: `vertices` (N, V, 3) metres, `colours` (N, V, 3) linear RGB, `triangles` (F, 3)."""

    names: list[str]
    vertices: NDArray[np.float32]
    colours: NDArray[np.uint8]
    triangles: NDArray[np.int64]


@dataclass
class AnnotatedShard:
    """Shard after annotation: a record per image, the finished rows of `faces`, and meshes where they are wanted."""

    shard: str
    images: list[ImageRecord]
    faces: pa.Table
    meshes: MeshData | None
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True)
class ShardOutcome:
    """Outcome of a shard: committed (`error` is empty), or not, with the reason. Counts are of its rows. `refused`:
    the output takes no more, so that no other shard can be committed either.
    """

    shard: str
    error: str = ""
    refused: bool = False
    images: int = 0
    faces: int = 0
    meshes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    costs: Costs = field(default_factory=Costs, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Returns the counts as the commit holds them."""
        return {
            "images": self.images,
            "faces": self.faces,
            "meshes": self.meshes,
            "statuses": dict(sorted(self.statuses.items())),
        }
