from __future__ import annotations

import io
import subprocess
import sys

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import (
    FaceDims,
    Provenance,
    faces_schema,
    images_schema,
    manifest_schema,
    read_provenance,
    tombstones_schema,
    vector,
)

PROVENANCE = Provenance(
    face_model_id="head",
    face_model_sha256="0" * 64,
    n_shape=3,
    n_expression=2,
    n_albedo=1,
    expression_names=("jawOpen", "mouthSmileLeft"),
    model_digest="1" * 64,
    detector="dlib",
    detector_fingerprint="2" * 16,
    landmarks5_source="landmarks68",
    crop_size=112,
    fingerprint="3" * 16,
)

# The contract of the project's tables: names and order are public.
IMAGES = "uri image_id shard bytes width height status stage reason n_faces source_caption"
FACES = (
    "face_id image_id uri shard face_index box_xyxy det_score landmarks5 crop_matrix shape expression albedo lighting "
    "rotation translation camera yaw_deg pitch_deg roll_deg landmarks68 caption caption_status photometric_psnr "
    "prior_distance sharpness face_px caption_agreement quality mesh_member"
)


def test_columns_are_those_of_the_contract() -> None:
    assert manifest_schema().names == ["uri", "size", "etag", "shard"]
    assert tombstones_schema().names == ["image_id", "version_sha256"]
    assert images_schema().names == IMAGES.split()
    assert faces_schema(FaceDims(3, 2, 1)).names == FACES.split()


def test_arrays_have_the_sizes_of_the_contract_and_of_the_face_model() -> None:
    schema = faces_schema(FaceDims(shape=80, expression=52, albedo=79))
    sizes = {field.name: field.type.list_size for field in schema if pa.types.is_fixed_size_list(field.type)}
    assert sizes == {
        "box_xyxy": 4,
        "landmarks5": 10,
        "crop_matrix": 6,
        "shape": 80,
        "expression": 52,
        "albedo": 79,
        "lighting": 27,
        "rotation": 9,
        "translation": 3,
        "camera": 3,
        "landmarks68": 136,
    }
    assert vector(4).value_type == pa.float32()


def test_every_column_says_what_it_means() -> None:
    for schema in (manifest_schema(), tombstones_schema(), images_schema(), faces_schema(FaceDims(3, 2, 1))):
        assert schema.metadata[b"schema_version"]
        for field in schema:
            assert field.metadata[b"description"], field.name


def test_provenance_and_plain_types_survive_a_parquet_file() -> None:
    schema = PROVENANCE.attach(faces_schema(FaceDims(3, 2, 1)))
    row = {
        field.name: [0.5] * field.type.list_size if pa.types.is_fixed_size_list(field.type) else None
        for field in schema
    }
    row |= {field.name: "x" for field in schema if pa.types.is_string(field.type)}
    row |= {
        field.name: 1
        for field in schema
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=schema), data)
    read = pq.read_table(io.BytesIO(data.getvalue()))
    assert read.schema.equals(schema)
    assert read_provenance(read.schema) == PROVENANCE
    assert not any(isinstance(field.type, pa.ExtensionType) for field in read.schema)
    assert pandas.read_parquet(io.BytesIO(data.getvalue())).loc[0, "shape"].tolist() == [0.5, 0.5, 0.5]


def test_a_table_without_metadata_has_no_provenance() -> None:
    with pytest.raises(ValueError, match="no facegpt metadata"):
        read_provenance(pa.schema([]))


def test_the_schemas_import_pyarrow_alone() -> None:
    code = "import sys, schemas; print(sorted({'torch', 'pandas', 'ray', 'pydantic', 'facegpt'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
