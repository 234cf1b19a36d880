"""Theta: the parameters of faces, as FaceGPT predicts them and the renderer draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegpt.rendering import matrix_to_axis_angle

LIGHTING = 27


@dataclass
class Theta:
    """Parameters of B faces: shape (B,S), expression (B,E), albedo (B,A), lighting (B,27), rotation_vector
    (B,3), translation (B,3).

    Lighting is nine spherical-harmonic bands by RGB, row-major. The rotation vector (axis times angle, radians) turns
    the head's frame into the camera's, translation (metres, z negative in front of the camera) moves it there.
    """

    shape: Tensor
    expression: Tensor
    albedo: Tensor
    lighting: Tensor
    rotation_vector: Tensor
    translation: Tensor

    @property
    def rotation(self) -> Tensor:
        """Rotation matrices (B,3,3), head to camera: the exponential of the rotation vector (Rodrigues' formula)."""
        # Not `axis_angle_to_matrix`: its last digits differ, and all tables were written with these.
        x, y, z = self.rotation_vector.unbind(-1)
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
        result: Tensor = torch.linalg.matrix_exp(skew)
        return result

    def flat(self) -> Tensor:
        """Joins all parameters side by side: (B, S+E+A+33), in the order of the fields."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], -1)

    @classmethod
    def split(cls, flat: Tensor, n_shape: int, n_expression: int, n_albedo: int) -> Theta:
        """Cuts `flat` (B, S+E+A+33) into its blocks, as the inverse of `flat()`; raises ValueError on another width."""
        sizes = [n_shape, n_expression, n_albedo, LIGHTING, 3, 3]
        if flat.shape[-1] != sum(sizes):
            raise ValueError(f"theta has {flat.shape[-1]} values, the face model wants {sum(sizes)}")
        return cls(*flat.split(sizes, -1))

    @classmethod
    def from_annotations(cls, annotations: Sequence[Mapping[str, Any]]) -> Theta:
        """Stacks annotated faces into a batch, float32 on the CPU.

        Args:
            annotations: B rows of the table of faces, or `vars(annotation)` of each `FaceAnnotation`, with shape,
                expression, albedo, lighting (27), rotation (3,3) or row-major (9) and translation (3).
        """
        names = ("shape", "expression", "albedo", "lighting", "rotation", "translation")
        blocks = {
            name: torch.from_numpy(np.stack([np.asarray(values[name], np.float32) for values in annotations]))
            for name in names
        }
        rotation = blocks.pop("rotation").reshape(-1, 3, 3)
        return cls(**blocks, rotation_vector=matrix_to_axis_angle(rotation))

    @classmethod
    def concatenate(cls, parts: Iterable[Theta]) -> Theta:
        """Stacks batches of faces into one."""
        batches = list(parts)
        return cls(*(torch.cat([getattr(batch, field.name) for batch in batches]) for field in fields(cls)))

    def map(self, function: Callable[[Tensor], Tensor]) -> Theta:
        """Applies `function` to each block."""
        return Theta(*(function(getattr(self, field.name)) for field in fields(self)))

    def to(self, device: torch.device | str) -> Theta:
        """Moves all blocks to `device`."""
        return self.map(lambda tensor: tensor.to(device))

    def __len__(self) -> int:
        return self.shape.shape[0]

    def __getitem__(self, index: slice | Tensor | list[int]) -> Theta:
        return self.map(lambda tensor: tensor[index])
