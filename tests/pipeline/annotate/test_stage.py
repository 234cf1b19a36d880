from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_model import FakeAnnotator
from numpy.typing import NDArray

from facegpt.library.row import five_of
from facegpt.model.annotation import FaceAnnotation
from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import RunConfig, load_config
from pipeline.shards.shard import DetectedFace, DetectedShard, ImageRecord
from schemas import FaceDims, faces_schema, read_provenance

GREY, RED, BLUE = (128, 128, 128), (255, 0, 0), (0, 0, 255)


def stage_of(config: RunConfig | None = None) -> AnnotateFaces:
    return AnnotateFaces(config or RunConfig(), FakeAnnotator(), "run-fingerprint")


class Cramped(FakeAnnotator):
    """A device whose memory holds `room` crops, and says so in torch's words, or in the machine's."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.room, self.error = room, error
        self.shares: list[float] = []
        self.tried: list[int] = []

    def crops_together(self, micro_batch: int) -> int:
        return micro_batch

    def crops_at_once(self, share: float) -> int:
        self.shares.append(share)
        return 8

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> list[FaceAnnotation]:
        self.tried.append(micro_batch)
        if min(micro_batch, len(crops)) > self.room:
            raise self.error
        return super().annotate(crops, micro_batch)


def detected(*images: list[tuple[int, int, int]], landmarks: Any = None) -> DetectedShard:
    """A shard with one image per argument, which lists the colours of its faces' crops."""
    records, faces, crops = [], [], []
    for number, colours in enumerate(images):
        status = "annotated" if colours else "no_face"
        records.append(
            ImageRecord(
                f"/p/{number}.png", "s", status, "detect", f"id{number}", 9, 500, 400, n_faces=len(colours)
            )
        )
        for index, colour in enumerate(colours):
            matrix = np.array([[0.5, 0, -10], [0, 0.5, -20]])
            face = DetectedFace(
                number, f"face-{number}-{index}", index, (1, 2, 3, 4), 0.7, landmarks, matrix, 99.0
            )
            faces.append(face)
            crops.append(np.full((112, 112, 3), colour, np.uint8))
    stacked = np.stack(crops) if crops else np.zeros((0, 112, 112, 3), np.uint8)
    return DetectedShard("s", records, faces, stacked)


def test_rows_have_the_schema_and_points_of_the_image() -> None:
    result = stage_of()(detected([GREY, GREY], [], [GREY]))
    assert result.faces.schema.equals(faces_schema(FaceDims(3, 2, 1)))
    assert [record.stage for record in result.images] == ["annotate", "detect", "annotate"]
    row = result.faces.to_pylist()[0]
    # The stand-in's first point is (20, 30) in the crop; the crop is half as large, and starts at (20, 40).
    assert row["landmarks68"][:2] == [60.0, 100.0]
    assert row["crop_matrix"] == [0.5, 0.0, -10.0, 0.0, 0.5, -20.0]
    assert row["rotation"] == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert row["mesh_member"] == "face-0-0.glb"
    assert (row["image_id"], row["uri"], row["face_px"]) == ("id0", "/p/0.png", 99.0)
    assert [r["face_id"] for r in result.faces.to_pylist()] == ["face-0-0", "face-0-1", "face-2-0"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_where_memory_runs_out_micro_batches_are_halved_for_good_and_no_face_is_lost(
    error: Exception,
) -> None:
    annotator = Cramped(3, error)
    stage = AnnotateFaces(RunConfig(), annotator, "print")
    for _ in range(2):
        result = stage(detected([GREY] * 6, [GREY]))
        assert result.faces.num_rows == 7 and {record.status for record in result.images} == {"annotated"}
    assert stage.micro_batch == 2
    assert annotator.tried == [8, 4, 2, 2], "the second shard begins where the first ended"


def test_memory_that_holds_not_one_crop_fails_the_images_and_not_the_run() -> None:
    result = AnnotateFaces(RunConfig(), Cramped(0, MemoryError("no room")), "print")(detected([GREY], []))
    assert [record.status for record in result.images] == ["failed", "no_face"]
    assert result.images[0].reason == "MemoryError: no room" and result.faces.num_rows == 0


def test_micro_batches_are_the_configs_or_what_the_device_holds() -> None:
    annotator = Cramped(3, MemoryError())
    assert AnnotateFaces(load_config(None, ["model.micro_batch=5"]), annotator, "print").micro_batch == 5
    assert annotator.shares == []
    assert AnnotateFaces(load_config(None, ["workers.annotate_per_gpu=2"]), annotator, "p").micro_batch == 8
    assert annotator.shares == [pytest.approx(0.4)]


def test_the_header_says_where_rows_come_from() -> None:
    for detector, source in (("libfacedetection", "detector"), ("dlib", "landmarks68")):
        config = load_config(None, [f"detector.name={detector}"])
        provenance = read_provenance(stage_of(config)(detected([GREY])).faces.schema)
        assert (provenance.face_model_id, provenance.n_shape, provenance.crop_size) == ("fake-head", 3, 112)
        assert provenance.fingerprint == "run-fingerprint"
        assert (provenance.detector, provenance.landmarks5_source) == (detector, source)


def test_five_points_come_from_the_68_unless_the_detector_gave_them() -> None:
    row = stage_of()(detected([GREY])).faces.to_pylist()[0]
    points = np.array(row["landmarks68"]).reshape(68, 2)
    np.testing.assert_allclose(np.array(row["landmarks5"]).reshape(5, 2), five_of(points), rtol=1e-6)
    np.testing.assert_allclose(five_of(points)[2], points[30])
    given = np.arange(10.0).reshape(5, 2)
    assert stage_of()(detected([GREY], landmarks=given)).faces.to_pylist()[0]["landmarks5"] == list(range(10))


def test_all_faces_of_the_shard_go_to_the_model_together() -> None:
    stage = stage_of()
    stage(detected([GREY, GREY], [GREY], [GREY]))
    assert isinstance(stage.annotator, FakeAnnotator)
    assert stage.annotator.batches == [4]


def test_an_image_that_upsets_the_model_fails_alone() -> None:
    result = stage_of()(detected([GREY], [GREY, RED], [BLUE], [GREY]))
    assert [record.status for record in result.images] == ["annotated", "failed", "failed", "annotated"]
    assert [record.n_faces for record in result.images] == [1, 0, 0, 1]
    assert result.images[1].reason == "RuntimeError: red upsets the model"
    assert result.images[2].reason == "the model gave numbers that are not finite"
    assert result.images[1].stage == "annotate"
    assert [row["face_id"] for row in result.faces.to_pylist()] == ["face-0-0", "face-3-0"]
    assert result.meshes is not None
    assert result.meshes.names == ["face-0-0", "face-3-0"]


def test_a_shard_without_faces_gives_an_empty_table_of_the_same_schema() -> None:
    stage = stage_of()
    result = stage(detected([], []))
    assert result.faces.num_rows == 0
    assert result.faces.schema.equals(stage(detected([GREY])).faces.schema, check_metadata=True)
    assert result.meshes is not None
    assert result.meshes.vertices.shape == (0, 4, 3)


def test_meshes_follow_shape_and_are_left_out_when_not_wanted() -> None:
    meshes = stage_of()(detected([GREY])).meshes
    assert meshes is not None
    assert meshes.vertices[0, 1, 0] == pytest.approx(0.1 * (1 + 0.1 * 128 / 255))
    assert (meshes.colours == 128).all()
    result = stage_of(load_config(None, ["output.meshes=false"]))(detected([GREY]))
    assert result.meshes is None
    assert result.faces.to_pylist()[0]["mesh_member"] is None
