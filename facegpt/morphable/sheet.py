"""Faces made from words, as files: a mesh and its parameters for each, and one picture of all."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.glb import to_glb
from facegpt.rendering import linear_to_srgb, render

SIDE = 224
BACKDROP = 0.87
PICTURE = "faces.png"


def write_faces(model: FaceModel, theta: Theta, names: list[str], description: str, folder: Path) -> None:
    """Writes NAME.glb and NAME.json of every face, and `faces.png`, into `folder`; raises OSError if it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        vertices = model.vertices(theta.shape, theta.expression).numpy()
        colours = (model.albedo(theta.albedo) * 255).round().to(torch.uint8).numpy()
        picture = render(model, theta, 2 * SIDE)
    for index, name in enumerate(names):
        glb = to_glb(vertices[index], model.triangles.numpy(), colours[index])
        (folder / f"{name}.glb").write_bytes(glb)
        values = {field.name: getattr(theta, field.name)[index].tolist() for field in fields(theta)}
        record = {"description": description, "face_model": model.id, "face_model_sha256": model.sha256}
        (folder / f"{name}.json").write_text(json.dumps({**record, **values}) + "\n", encoding="utf-8")
    shown = torch.where(picture.mask[:, None], linear_to_srgb(picture.image.clamp(0, 1)), BACKDROP)
    tiles = (shown.permute(0, 2, 3, 1).numpy() * 255 + 0.5).astype(np.uint8)
    columns = min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles)))))
    sheet = Image.new("RGB", (columns * SIDE, -(-len(tiles) // columns) * SIDE), "white")
    for index, tile in enumerate(tiles):
        small = Image.fromarray(tile).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(small, (index % columns * SIDE, index // columns * SIDE))
    sheet.save(folder / PICTURE)
