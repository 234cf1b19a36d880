"""A face of the library is the row that a run writes for the same photo, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import trimesh

import facegpt
from facegpt.library.face import COLUMNS
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop
from pipeline.output.meshes import encode_glb
from pipeline.shards.shard import AnnotatedShard, ShardTask
from pipeline.storage.locations import Entry
from schemas import FaceDims, faces_schema


@pytest.fixture(scope="module")
def stages() -> tuple[DetectAndCrop, AnnotateFaces]:
    config, source = RunConfig(), CheckpointSource("bundled")
    return DetectAndCrop(config, source.crop_size), AnnotateFaces(config, source.load("cpu"), "print")


def annotated(stages: tuple[DetectAndCrop, AnnotateFaces], photo: Path) -> AnnotatedShard:
    detect, annotate = stages
    return annotate(detect(ShardTask("0000-000000", (Entry(str(photo), None, None),))))


@pytest.mark.parametrize("name", ["portrait-spacesuit.png", "group.jpg"])
def test_a_row_is_the_one_that_a_run_writes(
    model: facegpt.FaceGpt, stages: tuple[DetectAndCrop, AnnotateFaces], photos: Path, name: str
) -> None:
    table = annotated(stages, photos / name).faces
    rows = [face.row() | {"shard": "0000-000000"} for face in model(photos / name)]
    assert len(rows) == table.num_rows > 0
    # As Arrow holds them: equal bits, in every column.
    assert pa.Table.from_pylist(rows, schema=table.schema).equals(table, check_metadata=True)


def test_attributes_are_the_columns_and_matrices_have_their_form(
    model: facegpt.FaceGpt, photos: Path
) -> None:
    (face,) = model(photos / "portrait-spacesuit.png")
    assert list(face.row()) == list(COLUMNS) == faces_schema(FaceDims(80, 52, 80)).names
    assert {field.name for field in fields(face)} - set(COLUMNS) == {"crop", "picture", "face_model"}
    forms = {
        name: getattr(face, name).shape
        for name in ("box_xyxy", "landmarks5", "landmarks68", "crop_matrix", "lighting", "rotation", "shape")
    }
    assert forms == {
        "box_xyxy": (4,),
        "landmarks5": (5, 2),
        "landmarks68": (68, 2),
        "crop_matrix": (2, 3),
        "lighting": (9, 3),
        "rotation": (3, 3),
        "shape": (80,),
    }
    row = face.row()
    assert row["landmarks68"][:4].tolist() == face.landmarks68[:2].ravel().tolist()
    assert row["shard"] is None and row["uri"] == str(photos / "portrait-spacesuit.png")
    assert face.caption and face.caption_status == "ok" and 0 < face.quality < 1
    np.testing.assert_allclose(face.rotation @ face.rotation.T, np.eye(3), atol=1e-5)


def test_the_mesh_is_the_head_of_a_runs_glb(
    model: facegpt.FaceGpt, stages: tuple[DetectAndCrop, AnnotateFaces], photos: Path
) -> None:
    photo = photos / "portrait-spacesuit.png"
    meshes = annotated(stages, photo).meshes
    (face,) = model(photo)
    assert meshes is not None
    name, data = encode_glb(meshes, 0)
    mesh = face.mesh()
    assert name == face.mesh_member and mesh.export(file_type="glb") == data
    assert isinstance(mesh, trimesh.Trimesh) and mesh.visual.kind == "vertex"
    assert mesh.visual.vertex_colors[:, :3].std() > 5
