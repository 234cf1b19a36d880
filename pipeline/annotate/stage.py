"""The second stage: from crops to the rows of `faces`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from facegpt.library.row import is_finite, row_of
from facegpt.memory import is_out_of_memory
from facegpt.morphable.heads import coloured_heads
from facegpt.photo.detectors.registry import detector_class, detector_fingerprint
from pipeline.annotate.model_source import Annotator, CrashError
from pipeline.config import RunConfig
from pipeline.errors import describe
from pipeline.shards.costs import Costs, timed
from pipeline.shards.shard import AnnotatedShard, DetectedFace, DetectedShard, ImageRecord, MeshData
from schemas import FaceDims, Provenance, faces_schema

if TYPE_CHECKING:
    from facegpt.model.annotation import FaceAnnotation

LOG = logging.getLogger("facegpt")
GPU_SHARE = 0.8
"""Of a GPU's memory for the annotators that share it; the rest is for a detector, and for captions longer than most."""

Said = list[tuple[DetectedFace, "FaceAnnotation"]]


class AnnotateFaces:
    """Runs the model over the crops of a shard, in micro-batches across its images, and writes down what it says.

    `fingerprint` is the run's; it enters the metadata of the table. Where memory runs out the micro-batch is halved,
    for good.
    """

    def __init__(self, config: RunConfig, annotator: Annotator, fingerprint: str) -> None:
        self.config = config
        self.annotator = annotator
        share = GPU_SHARE / config.workers.annotate_per_gpu
        self.micro_batch = config.model.micro_batch or annotator.crops_at_once(share)
        model = annotator.face_model
        self.dims = FaceDims(model.n_shape, model.n_expression, model.n_albedo)
        self.provenance = Provenance(
            face_model_id=model.id,
            face_model_sha256=model.sha256,
            n_shape=model.n_shape,
            n_expression=model.n_expression,
            n_albedo=model.n_albedo,
            expression_names=tuple(model.expression_names),
            model_digest=annotator.digest,
            detector=config.detector.name,
            detector_fingerprint=detector_fingerprint(config.detector),
            landmarks5_source="detector"
            if detector_class(config.detector.name).gives_landmarks
            else "landmarks68",
            crop_size=annotator.crop_size,
            fingerprint=fingerprint,
        )

    def __call__(self, shard: DetectedShard) -> AnnotatedShard:
        """Every face becomes a row, except those of an image on which the model fails: that image has `failed`."""
        costs = Costs(micro_batch=self.micro_batch)
        with timed(costs.seconds, "annotate.model"):
            said = self._annotate(shard)
        with timed(costs.seconds, "annotate.meshes"):
            meshes = self._meshes(said) if self.config.output.meshes else None
        with timed(costs.seconds, "annotate.rows"):
            table = self._table(shard, said)
        return AnnotatedShard(shard.shard, shard.images, table, meshes, costs)

    def _annotate(self, shard: DetectedShard) -> Said:
        for record in shard.images:
            if record.n_faces:
                record.stage = "annotate"
        everything: Sequence[FaceAnnotation | None]
        try:
            everything = self._run(shard.crops)
        except Exception:
            # Some image's crops upset the model: each image by itself shows which, and spares the others.
            everything = self._run_by_image(shard)
        said: Said = []
        for face, annotation in zip(shard.faces, everything, strict=True):
            if annotation is not None and not is_finite(annotation):
                _fail(shard.images[face.image], "the model gave numbers that are not finite")
            elif annotation is not None:
                said.append((face, annotation))
        return [
            (face, annotation) for face, annotation in said if shard.images[face.image].status == "annotated"
        ]

    def _run(self, crops: NDArray[np.uint8]) -> Sequence[FaceAnnotation]:
        if not len(crops):
            return []
        while True:
            try:
                return self.annotator.annotate(crops, micro_batch=self.micro_batch)
            except Exception as error:
                if self.micro_batch == 1 or not is_out_of_memory(error):
                    raise
                self.micro_batch //= 2
                LOG.warning("memory ran out: micro-batches of %d crops from here on", self.micro_batch)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _run_by_image(self, shard: DetectedShard) -> list[FaceAnnotation | None]:
        everything: list[FaceAnnotation | None] = [None] * len(shard.faces)
        members: dict[int, list[int]] = {}
        for index, face in enumerate(shard.faces):
            members.setdefault(face.image, []).append(index)
        for image, indices in members.items():
            try:
                for index, annotation in zip(indices, self._run(shard.crops[indices]), strict=True):
                    everything[index] = annotation
            except CrashError as error:
                _fail(shard.images[image], str(error))
            except Exception as error:
                _fail(shard.images[image], f"{type(error).__name__}: {describe(error)}")
        return everything

    def _table(self, shard: DetectedShard, said: Said) -> pa.Table:
        rows = [self._row(shard.images[face.image], face, annotation) for face, annotation in said]
        return pa.Table.from_pylist(rows, schema=self.provenance.attach(faces_schema(self.dims)))

    def _row(self, image: ImageRecord, face: DetectedFace, annotation: FaceAnnotation) -> dict[str, Any]:
        return row_of(
            face,
            annotation,
            image_id=image.image_id,
            uri=image.uri,
            shard=image.shard,
            mesh=self.config.output.meshes,
        )

    def _meshes(self, said: Said) -> MeshData:
        """Heads in the canonical frame, shaped and coloured; faces of the same id (copies of a file) share one."""
        model = self.annotator.face_model
        faces = {face.face_id: annotation for face, annotation in said}
        shape, expression, albedo = (
            torch.from_numpy(
                np.stack([np.asarray(getattr(one, name), np.float32) for one in faces.values()])
                if faces
                else np.zeros((0, size), np.float32)
            ).to(model.mean.device)
            for name, size in (
                ("shape", self.dims.shape),
                ("expression", self.dims.expression),
                ("albedo", self.dims.albedo),
            )
        )
        with torch.inference_mode():
            vertices, colours = coloured_heads(model, shape, expression, albedo)
        return MeshData(list(faces), vertices, colours, model.triangles.cpu().numpy())


def _fail(record: ImageRecord, reason: str) -> None:
    record.status, record.reason, record.n_faces = "failed", reason, 0
