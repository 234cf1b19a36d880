"""The photos that detectors are compared on, with the boxes of their labelled faces."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegpt.photo.config import DecodeConfig
from facegpt.photo.decode import decode
from facegpt.photo.detectors import Detection

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]
Points = NDArray[np.float64]
SCENE = (1200, 900)
"""Size of the photos that small faces stand in."""


@dataclass(frozen=True)
class Photo:
    """An image, the boxes (N, 4) around the points of its labelled faces, and the set that it belongs to."""

    group: str
    pixels: Pixels
    boxes: Boxes

    def turned(self, turns: int) -> Photo:
        """The same photo, turned to the left by quarter turns."""
        height, width = self.pixels.shape[:2]
        x, y = self.boxes.reshape(-1, 2, 2).transpose(2, 0, 1)
        right, bottom = width - 1, height - 1
        x, y = ((x, y), (y, right - x), (right - x, bottom - y), (bottom - y, x))[turns]
        boxes = np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1)
        return Photo(self.group, np.ascontiguousarray(np.rot90(self.pixels, turns)), boxes)


def read_faces(folder: Path) -> list[Photo]:
    """The photos that `faces.jsonl` lists, with all of their labelled faces."""
    boxes: dict[str, list[Boxes]] = {}
    for row in _rows(folder / "faces.jsonl"):
        points = np.array(row["landmarks68"], np.float64)
        boxes.setdefault(row["path"], []).append(np.concatenate([points.min(0), points.max(0)]))
    return [
        Photo(path.split("/")[0], _pixels(folder / path), np.array(faces)) for path, faces in boxes.items()
    ]


def read_crops(folder: Path) -> list[Photo]:
    """The photos of a folder, each of one face that nearly fills it and that no point tells of."""
    return [Photo(folder.name, _pixels(path), np.empty((0, 4))) for path in sorted(folder.glob("*.jpg"))]


def read_others(odd: Path, lights: Path) -> list[Photo]:
    """The photos without a face: those that `files.jsonl` lists, and backgrounds without people."""
    listed = [
        odd / row["path"]
        for row in _rows(odd / "files.jsonl")
        if row["category"] == "noface" and row["expected_faces"] == 0
    ]
    return [
        Photo("noface", _pixels(path), np.empty((0, 4))) for path in (*listed, *sorted(lights.glob("*.jpg")))
    ]


def scenes(photos: list[Photo], others: list[Photo], face_px: int) -> list[Photo]:
    """Each photo of one face, shrunk until the face has this size, somewhere in a photo without one; fixed seed."""
    rng, made = np.random.default_rng(0), []
    for photo in (photo for photo in photos if len(photo.boxes) == 1):
        scene = others[int(rng.integers(len(others)))].pixels
        canvas = np.asarray(cv2.resize(scene, SCENE, interpolation=cv2.INTER_AREA), np.uint8).copy()
        x0, y0, x1, y1 = photo.boxes[0]
        scale = face_px / float(np.sqrt((x1 - x0) * (y1 - y0)))
        height, width = (round(extent * scale) for extent in photo.pixels.shape[:2])
        left, top = (
            int(v) for v in rng.integers((0, 0), (max(1, SCENE[0] - width), max(1, SCENE[1] - height)))
        )
        if width > SCENE[0] or height > SCENE[1]:
            continue
        small = cv2.resize(photo.pixels, (width, height), interpolation=cv2.INTER_AREA)
        canvas[top : top + height, left : left + width] = small
        made.append(Photo("scene", canvas, photo.boxes * scale + [left, top, left, top]))
    return made


def large_jpeg(photo: Photo, share: float) -> bytes:
    """A JPEG of 4000 x 3000 px in which the photo fills this share of the height, on grey."""
    canvas = Image.new("RGB", (4000, 3000), (90, 100, 110))
    picture = Image.fromarray(photo.pixels)
    scale = min(3000 * share / picture.height, 4000 / picture.width)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
    )
    canvas.paste(picture, ((4000 - picture.width) // 2, (3000 - picture.height) // 2))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def held(faces: list[Detection], boxes: Boxes) -> list[Detection | None]:
    """For each labelled face the surest box such that both hold each other's middle."""
    return [
        next((f for f in faces if _holds(f.box, _middle(box)) and _holds(box, _middle(f.box))), None)
        for box in boxes.tolist()
    ]


def _middle(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _holds(box: tuple[float, ...], point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _rows(listing: Path) -> Iterator[dict[str, Any]]:
    for line in listing.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _pixels(path: Path) -> Pixels:
    return decode(path.read_bytes(), DecodeConfig()).rgb
