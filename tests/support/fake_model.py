"""A model's stand-in: same interface and shapes, numbers made from the crop, so that tests need no checkpoint."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from facegpt.model.annotation import FaceAnnotation
from pipeline.annotate.weights import UsedWeight


class FakeFaceModel:
    """Four vertices, three modes of shape, two of expression and one of albedo."""

    id = "fake-head"
    sha256 = "0" * 64
    n_shape, n_expression, n_albedo = 3, 2, 1
    expression_names = ("jawOpen", "mouthSmileLeft")
    mean = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]])
    triangles = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])

    def vertices(self, shape: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        return self.mean * (1 + 0.1 * shape.mean(1)[:, None, None])

    def albedo(self, coefficients: torch.Tensor) -> torch.Tensor:
        return torch.full((len(coefficients), 4, 3), 0.5)


class FakeAnnotator:
    """Says the crop's mean brightness as shape; fails on crops that are all red, and gives nan on all-blue ones."""

    crop_size = 112
    digest = "f" * 64

    def __init__(self) -> None:
        self.face_model: Any = FakeFaceModel()
        self.batches: list[int] = []

    def crops_together(self, micro_batch: int) -> int:
        return micro_batch

    def crops_at_once(self, share: float) -> int:
        return 32

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> list[FaceAnnotation]:
        self.batches.append(len(crops))
        return [self._one(crop) for crop in crops]

    def _one(self, crop: NDArray[np.uint8]) -> FaceAnnotation:
        middle = crop[40:72, 40:72].reshape(-1, 3).mean(0)
        if tuple(middle) == (255, 0, 0):
            raise RuntimeError("red upsets the model")
        brightness = np.nan if tuple(middle) == (0, 0, 255) else float(crop.mean()) / 255
        points = np.stack([np.linspace(20, 90, 68), np.linspace(30, 80, 68)], 1).astype(np.float32)
        return FaceAnnotation(
            shape=np.full(3, brightness, np.float32),
            expression=np.zeros(2, np.float32),
            albedo=np.ones(1, np.float32),
            lighting=np.zeros(27, np.float32),
            rotation=np.eye(3, dtype=np.float32),
            translation=np.array([0, 0, -0.9], np.float32),
            camera=np.array([504, 55.5, 55.5], np.float32),
            landmarks68=points,
            yaw_deg=1.0,
            pitch_deg=2.0,
            roll_deg=3.0,
            caption="a face seen from the front",
            caption_status="ok",
            caption_agreement=1.0,
            photometric_psnr=20.0,
            prior_distance=1.0,
            sharpness=0.5,
            quality=0.9,
        )


class FakeSource:
    """A `pipeline.annotate.model_source.ModelSource` of the stand-in."""

    crop_size = 112
    digest = "f" * 64
    weights: ClassVar[tuple[UsedWeight, ...]] = (UsedWeight("model", "fake", "a test", {}, "none", True),)

    def load(self, device: str) -> FakeAnnotator:
        return FakeAnnotator()


class CrowdAnnotator(FakeAnnotator):
    """Says how many crops were in the micro-batch: a real model's last digits depend on it."""

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> list[FaceAnnotation]:
        parts = [crops[start : start + micro_batch] for start in range(0, len(crops), micro_batch)]
        return [replace(self._one(crop), sharpness=float(len(part))) for part in parts for crop in part]

    def _one(self, crop: NDArray[np.uint8]) -> FaceAnnotation:
        if tuple(crop[56, 56]) == (0, 255, 0):
            os._exit(7)
        return super()._one(crop)


class CrowdSource(FakeSource):
    """Loads a model whose numbers tell its micro-batches, and that crops which are all green kill."""

    def load(self, device: str) -> FakeAnnotator:
        return CrowdAnnotator()


class DeadlyAnnotator(FakeAnnotator):
    """Ends its process at a green crop."""

    def _one(self, crop: NDArray[np.uint8]) -> FaceAnnotation:
        red, green, blue = crop.reshape(-1, 3).mean(0)
        if green > 1.3 * max(red, blue):
            os._exit(7)
        return super()._one(crop)


class DeadlySource(FakeSource):
    """Loads a model that some crops kill."""

    def load(self, device: str) -> FakeAnnotator:
        return DeadlyAnnotator()
