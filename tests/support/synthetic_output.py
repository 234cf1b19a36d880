"""A small output of `annotate`, made without a network: photos of rendered faces, and tables that say the truth."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from facegpt.morphable import Theta, bundled
from facegpt.rendering import axis_angle_to_matrix, linear_to_srgb, render
from pipeline.config import RunConfig
from schemas import SCHEMA_VERSION, FaceDims, Provenance, faces_schema, images_schema

CROP = 112
BACKGROUND = (96, 116, 128)
SHARD = "00000-synthetic"


def write_synthetic_output(
    folder: Path,
    n_faces: int = 5,
    others: list[dict[str, Any]] | None = None,
    face_model_sha256: str | None = None,
) -> Path:
    """Writes `folder`/photos and `folder`/output, and returns the latter.

    Args:
        folder: an empty one.
        n_faces: how many photos with one face each; yaw runs from -40 to 40 degrees over them.
        others: ledger rows (`status`, `stage`, `reason`, and optionally `uri`) of photos without a face.
        face_model_sha256: what the tables say of the face model, in place of the truth.
    """
    photos, output = folder / "photos", folder / "output"
    photos.mkdir(parents=True)
    rows = [_face(index, n_faces, photos) for index in range(n_faces)]
    model = bundled()
    dims = FaceDims(model.n_shape, model.n_expression, model.n_albedo)
    provenance = Provenance(
        face_model_id=model.id,
        face_model_sha256=face_model_sha256 or model.sha256,
        n_shape=dims.shape,
        n_expression=dims.expression,
        n_albedo=dims.albedo,
        expression_names=model.expression_names,
        model_digest="0" * 64,
        detector="dlib",
        detector_fingerprint="1" * 16,
        landmarks5_source="landmarks68",
        crop_size=CROP,
        fingerprint="2" * 16,
    )
    ledger = [
        {
            "uri": row["uri"],
            "image_id": row["image_id"],
            "shard": SHARD,
            "bytes": Path(row["uri"]).stat().st_size,
            "width": 320,
            "height": 240,
            "status": "annotated",
            "stage": "annotate",
            "reason": None,
            "n_faces": 1,
        }
        for row in rows
    ]
    empty = {"image_id": None, "shard": SHARD, "bytes": 10, "width": None, "height": None, "n_faces": 0}
    for index, other in enumerate(others or []):
        ledger.append({"uri": str(photos / f"other{index}.jpg"), **empty, **other})
    tables = {"faces": (rows, faces_schema(dims)), "images": (ledger, images_schema())}
    for name, (content, schema) in tables.items():
        (output / name).mkdir(parents=True)
        table = pa.Table.from_pylist(content, provenance.attach(schema))
        pq.write_table(table, output / name / f"{SHARD}.parquet", compression="zstd")
    (output / "commits").mkdir()
    (output / "commits" / f"{SHARD}.json").write_text(json.dumps({"images": len(ledger), "faces": len(rows)}))
    (output / "run.json").write_text(json.dumps(_record(len(ledger), n_faces)))
    return output


def _record(images: int, faces: int) -> dict[str, Any]:
    config = RunConfig().model_dump(mode="json")
    config["detector"]["min_score"] = 0.25
    return {
        "format": "facegpt-run",
        "schema_version": SCHEMA_VERSION,
        "created": "2026-01-01T12:00:00+00:00",
        "fingerprint": "2" * 16,
        "fingerprints": {},
        "config": config,
        "versions": {"python": "3.11.7", "facegpt": "0.1.0"},
        "licences": {"model bundled": "Apache-2.0", "detector dlib": "BSL-1.0"},
        "weights": [],
        "invocations": [
            {
                "started": "2026-01-01T12:00:00+00:00",
                "finished": "2026-01-01T12:00:04+00:00",
                "input": "photos",
                "images": images,
                "faces": faces,
                "seconds": 4.0,
                "workers": {"detect": 1, "annotate": 1, "device": "cpu"},
            }
        ],
    }


def _face(index: int, count: int, photos: Path) -> dict[str, Any]:
    """One photo of 320 x 240 px with a face 140 px wide in it, and its row."""
    model = bundled()
    generator = torch.Generator().manual_seed(index)
    yaw = math.radians(-40 + 80 * index / max(count - 1, 1))
    lighting = torch.zeros(1, 9, 3)
    lighting[:, 0], lighting[:, 2], lighting[:, 1] = 2.2, 0.9, 0.3
    theta = Theta(
        shape=torch.randn(1, model.n_shape, generator=generator) * 0.7,
        expression=torch.zeros(1, model.n_expression),
        albedo=torch.randn(1, model.n_albedo, generator=generator) * 0.7,
        lighting=lighting.flatten(1),
        rotation_vector=torch.tensor([[0.05, yaw, 0.0]]),
        translation=torch.tensor([[0.0, 0.02, -0.9]]),
    )
    side = 140
    drawn = render(model, theta, side)
    colours = (linear_to_srgb(drawn.image)[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    pixels = np.full((240, 320, 3), BACKGROUND, dtype=np.uint8)
    left, top = 60 + 3 * index, 40
    inside = pixels[top : top + side, left : left + side]
    inside[drawn.mask[0].numpy()] = colours[drawn.mask[0].numpy()]
    path = photos / f"face{index}.png"
    Image.fromarray(pixels).save(path)
    scale = CROP / side
    offset = (scale - 1) / 2
    image_id = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    landmarks = drawn.landmarks2d[0].numpy() + np.array([left, top])
    return {
        "face_id": f"{index:032x}",
        "image_id": image_id,
        "uri": str(path),
        "shard": SHARD,
        "face_index": 0,
        "box_xyxy": [left, top, left + side, top + side],
        "det_score": 1.0,
        "landmarks5": [0.0] * 10,
        "crop_matrix": [scale, 0, offset - scale * left, 0, scale, offset - scale * top],
        "shape": theta.shape[0].tolist(),
        "expression": theta.expression[0].tolist(),
        "albedo": theta.albedo[0].tolist(),
        "lighting": theta.lighting[0].tolist(),
        "rotation": axis_angle_to_matrix(theta.rotation_vector)[0].flatten().tolist(),
        "translation": theta.translation[0].tolist(),
        "camera": [4.5 * CROP, (CROP - 1) / 2, (CROP - 1) / 2],
        "yaw_deg": math.degrees(yaw),
        "pitch_deg": 0.0,
        "roll_deg": 0.0,
        "landmarks68": landmarks.flatten().tolist(),
        "caption": f"A face, number {index} of <{count}>, looking at the camera.",
        "caption_status": "ok",
        "photometric_psnr": 25.0,
        "prior_distance": 0.7,
        "sharpness": 100.0,
        "face_px": float(side),
        "caption_agreement": 1.0,
        "quality": 0.9 - 0.05 * index,
        "mesh_member": f"{index:032x}.glb",
    }
