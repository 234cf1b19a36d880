"""What the library gives: the faces of a photo, answers about them, and faces made from words."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image

from facegpt.library.errors import PhotoError
from facegpt.library.glb import to_trimesh
from facegpt.library.pictures import SIDE, crop_pictures, head_picture, strip, turn_head
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.heads import coloured_heads
from facegpt.rendering import FOCAL_MULTIPLIER

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
MATRICES: dict[str, tuple[int, int]] = {
    "landmarks5": (5, 2),
    "crop_matrix": (2, 3),
    "lighting": (9, 3),
    "rotation": (3, 3),
    "landmarks68": (68, 2),
}
"""Columns whose values are matrices; a row of the table has them row by row."""


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """One face of a photo: every column of the table `faces` as an attribute, arrays in float32.

    `box_xyxy` (4,), `landmarks5` (5,2), `landmarks68` (68,2, iBUG order) and `face_px` are in pixels of the upright
    photo; `crop_matrix` (2,3) leads from them to the square crop that the model saw. `shape`, `albedo`: standard
    deviations; `expression`: 0..1 in the order of `face_model.expression_names`. `lighting` (9,3): spherical harmonics
    by RGB. `rotation` (3,3) and `translation` (3,) metres take the head into the camera's frame, `camera` (3,) is focal
    length and principal point in pixels of the crop. `caption` says in words what is visible; `quality` is 0..1.
    `uri` is None for a photo that came without a file, and `shard` always. `schemas/faces.py` describes each column.

    Beside them: `crop` (W,W,3), what the model saw, `picture` (P,P,3), the same square for people, both uint8 sRGB, and
    the `face_model` that the coefficients belong to.
    """

    face_id: str
    image_id: str
    uri: str | None
    shard: str | None
    face_index: int
    box_xyxy: F32
    det_score: float
    landmarks5: F32
    crop_matrix: F32
    shape: F32
    expression: F32
    albedo: F32
    lighting: F32
    rotation: F32
    translation: F32
    camera: F32
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    landmarks68: F32
    caption: str
    caption_status: str
    photometric_psnr: float
    prior_distance: float
    sharpness: float
    face_px: float
    caption_agreement: float
    quality: float
    mesh_member: str | None
    crop: U8
    picture: U8
    face_model: FaceModel

    @classmethod
    def from_row(cls, row: dict[str, Any], crop: U8, picture: U8, face_model: FaceModel) -> Self:
        """Makes a face of a row of the table, its pictures and its face model."""
        matrices = {name: np.reshape(row[name], form) for name, form in MATRICES.items()}
        return cls(**{**row, **matrices}, crop=crop, picture=picture, face_model=face_model)

    def row(self) -> dict[str, Any]:
        """Gives the face as a row of the table `faces`, by column: matrices are flat, `shard` is None."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return values | {name: values[name].ravel() for name in MATRICES}

    @property
    def theta(self) -> Theta:
        """The face's parameters as tensors, a batch of one."""
        return Theta.from_annotations([self.row()])

    def mesh(self) -> trimesh.Trimesh:
        """Makes the whole head in metres, y up, facing +z, with vertex colours (linear RGB): that of a run's GLB."""
        return _mesh(self.face_model, self.theta)

    def draw(self, side: int = SIDE) -> Image.Image:
        """Draws four pictures, `side` pixels each, in a row: crop, landmarks, reconstruction, and the head turned."""
        crop = Image.fromarray(self.picture).resize((side, side), Image.Resampling.LANCZOS)
        return strip(list(crop_pictures(self.face_model, self.row(), crop, side).values()))

    def _repr_png_(self) -> bytes:
        return _png(self.draw())

    def __repr__(self) -> str:
        x0, y0, x1, y1 = (round(value) for value in self.box_xyxy.tolist())
        angles = ", ".join(
            f"{name} {round(getattr(self, f'{name}_deg'))}°" for name in ("yaw", "pitch", "roll")
        )
        place = f"at {x0},{y0} to {x1},{y1}"
        return f"<Face {self.face_index} {place}; {angles}; quality {self.quality:.2f}; {self.caption!r}>"


COLUMNS = tuple(field.name for field in fields(Face) if field.name not in ("crop", "picture", "face_model"))
"""The columns of the table `faces`, in its order."""


class Faces(list[Face]):
    """The faces of one photo, the surest first, as a list.

    `photo` is the photo's path or what else it was given as; `image_id`, `width` and `height` (upright, px) are None
    where it cannot be read. `error`: of many photos, why this one has no faces, if it cannot be read; None otherwise.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        photo: str,
        image_id: str | None = None,
        size: tuple[int, int] | None = None,
        error: PhotoError | None = None,
    ) -> None:
        super().__init__(faces)
        self.photo = photo
        self.image_id = image_id
        self.width = None if size is None else size[0]
        self.height = None if size is None else size[1]
        self.error = error


@dataclass(frozen=True)
class Answer:
    """What the model answers about one face: `text`, and `box_xyxy` in pixels of the upright photo."""

    text: str
    face_id: str
    face_index: int
    box_xyxy: tuple[float, float, float, float]
    det_score: float

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False, repr=False)
class ImaginedFace:
    """A face made from words: `theta` (a batch of one), the `description` and `seed` it comes from, its face model."""

    description: str
    seed: int
    theta: Theta
    face_model: FaceModel

    def mesh(self) -> trimesh.Trimesh:
        """Makes the whole head in metres, y up, facing +z, with vertex colours (linear RGB)."""
        return _mesh(self.face_model, self.theta)

    def draw(self, side: int = SIDE) -> Image.Image:
        """Draws two pictures of `side` pixels in a row: the face as it was imagined, and the head turned."""
        other = turn_head(self.face_model, self.theta, FOCAL_MULTIPLIER)
        return strip([head_picture(self.face_model, theta, side) for theta in (self.theta, other)])

    def _repr_png_(self) -> bytes:
        return _png(self.draw())

    def __repr__(self) -> str:
        return f"<ImaginedFace of seed {self.seed}: {self.description!r}>"


@torch.no_grad()
def _mesh(model: FaceModel, theta: Theta) -> trimesh.Trimesh:
    vertices, colours = coloured_heads(model, theta.shape, theta.expression, theta.albedo)
    return to_trimesh(vertices[0], model.triangles.numpy(), colours[0])


def _png(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format="PNG")
    return sink.getvalue()
