"""Faces made from words, as files: a mesh and its parameters for each, and one picture of all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegpt.library.face import ImaginedFace
from facegpt.library.glb import to_glb
from facegpt.library.pictures import BACKDROP
from facegpt.morphable import Theta
from facegpt.morphable.heads import coloured_heads
from facegpt.rendering import linear_to_srgb, render

SIDE = 224
PICTURE = "faces.png"


def write_faces(faces: Sequence[ImaginedFace], folder: Path) -> None:
    """Writes face-SEED.glb and face-SEED.json of every face, and `faces.png`, into `folder`; raises OSError if it
    cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, theta = faces[0].face_model, Theta.concatenate(face.theta for face in faces)
    with torch.no_grad():
        vertices, colours = coloured_heads(model, theta.shape, theta.expression, theta.albedo)
        picture = render(model, theta, 2 * SIDE)
    for index, face in enumerate(faces):
        name = f"face-{face.seed:04d}"
        glb = to_glb(vertices[index], model.triangles.numpy(), colours[index])
        (folder / f"{name}.glb").write_bytes(glb)
        values = {field.name: getattr(face.theta, field.name)[0].tolist() for field in fields(theta)}
        record = {
            "description": face.description,
            "face_model": model.id,
            "face_model_sha256": model.sha256,
        }
        (folder / f"{name}.json").write_text(json.dumps({**record, **values}) + "\n", encoding="utf-8")
    shown = torch.where(picture.mask[:, None], linear_to_srgb(picture.image), BACKDROP)
    tiles = (shown.permute(0, 2, 3, 1).numpy() * 255 + 0.5).astype(np.uint8)
    _tiled(tiles).save(folder / PICTURE)


def _tiled(tiles: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    """Pictures (N, H, H, 3) as one, row by row, each `SIDE` pixels wide."""
    columns = min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles)))))
    sheet = Image.new("RGB", (columns * SIDE, -(-len(tiles) // columns) * SIDE), "white")
    for index, tile in enumerate(tiles):
        small = Image.fromarray(tile).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(small, (index % columns * SIDE, index // columns * SIDE))
    return sheet
