"""What one shard becomes on its way: to do, detected, annotated, committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.storage.locations import Entry


@dataclass(frozen=True)
class ShardRef:
    """Where the manifest holds a shard of `n_images` images: all that the driver knows of it."""

    shard: str
    manifest_key: str
    row_group: int
    n_images: int


@dataclass(frozen=True)
class ShardTask:
    """A shard to be done: its id and its images."""

    shard: str
    images: tuple[Entry, ...]


@dataclass
class ImageRecord:
    """A row of the ledger in the making; the fields are its columns."""

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
    """A face, found and cropped. `image`: index of its image in the shard. Points are pixels of the upright image."""

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
    """A shard after detection: a record per image, and `crops` uint8 sRGB (N, W, W, 3), one per face."""

    shard: str
    images: list[ImageRecord]
    faces: list[DetectedFace]
    crops: NDArray[np.uint8]


@dataclass
class MeshData:
    """Heads in the canonical frame: `vertices` (N, V, 3) metres, `colours` (N, V, 3) linear RGB, `triangles` (F, 3)."""

    names: list[str]
    vertices: NDArray[np.float32]
    colours: NDArray[np.uint8]
    triangles: NDArray[np.int64]


@dataclass
class AnnotatedShard:
    """A shard after annotation: ledger records, the finished rows of `faces`, and meshes where they are wanted."""

    shard: str
    images: list[ImageRecord]
    faces: pa.Table
    meshes: MeshData | None


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a shard: committed (`error` empty), or not, with the reason. Counts are of its rows. `refused`:
    the output takes no more, so that no other shard can be committed either.
    """

    shard: str
    error: str = ""
    refused: bool = False
    images: int = 0
    faces: int = 0
    meshes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The counts, for the commit's record."""
        return {
            "images": self.images,
            "faces": self.faces,
            "meshes": self.meshes,
            "statuses": dict(sorted(self.statuses.items())),
        }
