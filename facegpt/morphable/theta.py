"""Theta: everything that FaceGPT says about one face, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

LIGHTING = 27
CAMERA = 6


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
        x, y, z = self.rotation_vector.unbind(-1)
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
        result: Tensor = torch.linalg.matrix_exp(skew)
        return result

    def flat(self) -> Tensor:
        """All parameters side by side, (B, S+E+A+33)."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], -1)

    @classmethod
    def split(cls, flat: Tensor, n_shape: int, n_expression: int, n_albedo: int) -> Theta:
        """The inverse of `flat`; raises ValueError if the width does not fit the counts."""
        sizes = [n_shape, n_expression, n_albedo, LIGHTING, 3, 3]
        if flat.shape[-1] != sum(sizes):
            raise ValueError(f"theta has {flat.shape[-1]} values, the face model wants {sum(sizes)}")
        return cls(*flat.split(sizes, -1))

    @classmethod
    def concatenate(cls, parts: Iterable[Theta]) -> Theta:
        """Stacks batches of faces into one."""
        whole = list(parts)
        return cls(*(torch.cat([getattr(part, field.name) for part in whole]) for field in fields(cls)))

    def map(self, function: Callable[[Tensor], Tensor]) -> Theta:
        """Applies `function` to each tensor."""
        return Theta(*(function(getattr(self, field.name)) for field in fields(self)))

    def to(self, device: torch.device | str) -> Theta:
        return self.map(lambda tensor: tensor.to(device))

    def __len__(self) -> int:
        return self.shape.shape[0]

    def __getitem__(self, index: slice | Tensor | list[int]) -> Theta:
        return self.map(lambda tensor: tensor[index])
