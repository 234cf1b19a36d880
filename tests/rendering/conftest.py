"""A small face model and theta with the real ones' interface: fast, and independent of the bundled asset."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import trimesh
from torch import Tensor

from facegpt.rendering import axis_angle_to_matrix


@dataclass
class ToyTheta:
    shape: Tensor
    expression: Tensor
    albedo: Tensor
    lighting: Tensor
    rotation_vector: Tensor
    translation: Tensor

    @property
    def rotation(self) -> Tensor:
        return axis_angle_to_matrix(self.rotation_vector)


class ToyFaceModel:
    """An egg of 1,280 triangles with random linear bases."""

    def __init__(self, dtype: torch.dtype) -> None:
        sphere = trimesh.creation.icosphere(subdivisions=3)
        generator = torch.Generator().manual_seed(7)
        self.mean = torch.tensor(sphere.vertices.copy(), dtype=dtype) * torch.tensor(
            [0.06, 0.08, 0.07], dtype=dtype
        )
        self.triangles = torch.tensor(sphere.faces.copy(), dtype=torch.int64)
        n = self.mean.shape[0]
        # Smooth modes: random linear maps and waves of the mean's coordinates.
        waves = torch.sin(self.mean / 0.03 @ torch.randn(3, 7, generator=generator).to(dtype))
        self.shape_basis = 0.002 * (waves @ torch.randn(4, 7, 3, generator=generator).to(dtype))
        self.expression_basis = 0.003 * (waves @ torch.randn(3, 7, 3, generator=generator).to(dtype))
        self.albedo_mean = torch.full((n, 3), 0.5, dtype=dtype)
        self.albedo_basis = 0.02 * (waves @ torch.randn(5, 7, 3, generator=generator).to(dtype))
        self.landmark_vertices = torch.randperm(n, generator=generator)[:68]

    def vertices(self, shape: Tensor, expression: Tensor) -> Tensor:
        return (
            self.mean
            + torch.einsum("bs,svk->bvk", shape, self.shape_basis)
            + torch.einsum("be,evk->bvk", expression, self.expression_basis)
        )

    def albedo(self, coefficients: Tensor) -> Tensor:
        return self.albedo_mean + torch.einsum("ba,avk->bvk", coefficients, self.albedo_basis)

    def landmarks(self, vertices: Tensor, rotation: Tensor) -> Tensor:
        return vertices[:, self.landmark_vertices]


@pytest.fixture
def toy_model() -> ToyFaceModel:
    return ToyFaceModel(torch.float64)


@pytest.fixture
def toy_theta() -> ToyTheta:
    generator = torch.Generator().manual_seed(3)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    batch = 2
    lighting = 0.1 * normal(batch, 9, 3)
    lighting[:, 0] += 2.5
    return ToyTheta(
        shape=normal(batch, 4),
        expression=normal(batch, 3).abs(),
        albedo=normal(batch, 5),
        lighting=lighting.flatten(1),
        rotation_vector=0.3 * normal(batch, 3),
        translation=torch.tensor([0.0, 0.0, -0.9], dtype=torch.float64) + 0.005 * normal(batch, 3),
    )
