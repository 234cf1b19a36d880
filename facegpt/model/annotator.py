"""The annotator: from crops to theta, pose, landmarks, a caption and scores, in one call."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegpt.bundled import BUNDLED
from facegpt.language.agreement import agreement
from facegpt.language.attributes import Attributes, describe
from facegpt.memory import is_out_of_memory
from facegpt.model.allocator import keep_freed_memory
from facegpt.model.annotation import FaceAnnotation
from facegpt.model.batching import batch_for
from facegpt.model.checkpoint import MORE_MEMORY, Checkpoint, CheckpointError, load
from facegpt.model.generation import answers, read_faces
from facegpt.model.inference import InferenceModel, ReadFaces
from facegpt.model.likeness import likeness
from facegpt.model.trained_on import FaceModelName, mismatch
from facegpt.morphable import FaceModel, Theta, bundled
from facegpt.rendering import Camera, matrix_to_euler

U8 = npt.NDArray[np.uint8]
SPOKEN_AT_ONCE_ON_CPU = 128
"""How many captions are decoded together: a step's time is, of 32, mostly that of reading the weights."""


def sharpness(crop: U8) -> float:
    """Computes the standard deviation of the Laplacian of a crop in grey levels of 0..1: low for a blurred face."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())


class FaceAnnotator:
    """A FaceGPT checkpoint and its face model, which together make complete annotations of crops."""

    def __init__(self, checkpoint: Checkpoint, face_model: FaceModel, device: str = "cpu") -> None:
        config = checkpoint.model.config
        trained_on = FaceModelName(config.face_model_id, config.face_model_sha256)
        if other := mismatch(trained_on, FaceModelName(face_model.id, face_model.sha256)):
            raise ValueError(f"the checkpoint {other}")
        self.checkpoint, self.face_model, self.device = checkpoint, face_model, device
        self.model = InferenceModel(checkpoint.model)
        if device == "cpu":
            keep_freed_memory()

    @classmethod
    def from_pretrained(
        cls, name: str = BUNDLED, device: str = "cpu", face_model: str = BUNDLED
    ) -> FaceAnnotator:
        """Loads a checkpoint by folder, hub name or "bundled", and the face model that it was trained on: "bundled",
        or a file of `FaceModel.save`. Raises CheckpointError, whose message says what to do.
        """
        try:
            model = bundled() if face_model == BUNDLED else FaceModel.load(Path(face_model).expanduser())
            return cls(load(name, device), copy.deepcopy(model).to(device), device)
        except CheckpointError:
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise CheckpointError(
                f"not enough memory on {device} for the face model {face_model}: {MORE_MEMORY}"
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{error}; a checkpoint needs the face model it was trained on") from None

    @property
    def digest(self) -> str:
        """sha256 of the checkpoint's files."""
        return self.checkpoint.digest

    @property
    def crop_size(self) -> int:
        """Side in pixels of the crops that the model takes."""
        return int(self.checkpoint.model.config.crop_size)

    def crops_at_once(self, share: float) -> int:
        """Measures how many crops fit at a time into `share` of a GPU's memory; 32 on the CPU."""
        side = self.crop_size
        return batch_for(
            self.device, lambda count: self.annotate(np.zeros((count, side, side, 3), np.uint8), count), share
        )

    def annotate(self, crops: U8 | Sequence[U8], micro_batch: int = 32) -> list[FaceAnnotation]:
        """Annotates crops (N,W,W,3) uint8 sRGB, W = `crop_size`, `micro_batch` at a time, in order.

        On a CPU the captions of several micro-batches are decoded together, if the model can do that.
        """
        several = SPOKEN_AT_ONCE_ON_CPU // micro_batch if self.device == "cpu" and self.model.language else 1
        at_once = micro_batch * max(1, several)
        return [
            annotation
            for start in range(0, len(crops), at_once)
            for annotation in self._annotate(np.asarray(crops[start : start + at_once]), micro_batch)
        ]

    @torch.inference_mode()
    def _annotate(self, crops: U8, micro_batch: int) -> list[FaceAnnotation]:
        processor = self.checkpoint.processor
        read, measured = [], list[tuple[Attributes, dict[str, Any]]]()
        for start in range(0, len(crops), micro_batch):
            some = crops[start : start + micro_batch]
            pixels = processor.pixel_values(some).to(self.device)
            if pixels.shape[-1] != self.crop_size:
                raise ValueError(f"crops are {pixels.shape[-1]} px, the model wants {self.crop_size} px")
            read.append(read_faces(self.model, processor, pixels))
            measured += self._measured(some, pixels, read[-1])
        texts, finished = answers(self.model, processor, self.model.joined(read), captions=True)
        return [
            FaceAnnotation(
                **values,
                caption=text,
                caption_status="ok" if ended else "truncated",
                caption_agreement=agreement(text, attributes).share,
            )
            for (attributes, values), text, ended in zip(measured, texts, finished, strict=True)
        ]

    def _measured(
        self, crops: U8, pixels: Tensor, read: ReadFaces
    ) -> list[tuple[Attributes, dict[str, Any]]]:
        """Lists, of each crop, the attributes of its face and what its annotation says besides the caption."""
        config, face_model = self.checkpoint.model.config, self.face_model
        theta = Theta.split(read.theta, face_model.n_shape, face_model.n_expression, face_model.n_albedo)
        rotation = theta.rotation
        decibels, points = likeness(face_model, theta, pixels)
        prior = torch.cat([theta.shape, theta.albedo], 1).square().mean(1).sqrt()
        camera = Camera(self.crop_size)
        intrinsics = np.array([float(camera.focal), camera.centre, camera.centre], np.float32)
        blocks = {
            name: getattr(theta, name).float().cpu().numpy()
            for name in ("shape", "expression", "albedo", "lighting", "translation")
        }
        landmarks, rotations = points.cpu().numpy(), rotation.cpu().numpy()
        numbers = torch.stack([*matrix_to_euler(rotation), decibels, prior, read.log_error], 1).tolist()
        return [
            (
                attributes,
                {
                    **{name: values[i] for name, values in blocks.items()},
                    "rotation": rotations[i],
                    "camera": intrinsics,
                    "landmarks68": landmarks[i],
                    "yaw_deg": yaw,
                    "pitch_deg": pitch,
                    "roll_deg": roll,
                    "photometric_psnr": similar,
                    "prior_distance": distance,
                    "sharpness": sharpness(crops[i]),
                    "quality": 1 / (1 + math.exp(config.error_slope * (error - config.error_midpoint))),
                },
            )
            for i, ((yaw, pitch, roll, similar, distance, error), attributes) in enumerate(
                zip(numbers, describe(theta, face_model.expression_names), strict=True)
            )
        ]
