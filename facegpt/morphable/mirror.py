"""The parameters of a face seen in a mirror: the same picture with left and right exchanged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.theta import Theta

LANDMARKS = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
)
"""Of each of the 68 iBUG landmarks, the one that it becomes in the mirror."""

ODD_BANDS = (3, 4, 7)
"""The spherical harmonics that change their sign with x: those of x, xy and xz."""


class Mirror(nn.Module):
    """The mirror image of theta in the plane x = 0 of the picture, for a symmetric face model.

    Shape modes are symmetric or antisymmetric, so that their coefficients keep or change their sign; actions named
    `...Left` and `...Right` change places. Albedo modes are neither: the mirrored albedo is the nearest that the
    model has. Raises ValueError for a model whose vertices, shape modes or actions have no mirror image (to 1 mm).
    """

    shape_sign: Tensor
    expression_order: Tensor
    albedo_matrix: Tensor
    albedo_offset: Tensor

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        flip = torch.tensor([-1.0, 1.0, 1.0])
        distance = torch.cdist(model.mean * flip, model.mean)
        nearest, partner = distance.min(1)
        if float(nearest.max()) > 1e-3:
            raise ValueError(
                f"face model {model.id} is not symmetric: {1e3 * float(nearest.max()):.1f} mm off"
            )
        mirrored = model.shape_basis[:, partner] * flip
        energy = model.shape_basis.square().sum((1, 2))
        sign = (mirrored * model.shape_basis).sum((1, 2)).sign()
        remainder = (mirrored - sign[:, None, None] * model.shape_basis).square().sum((1, 2))
        if bool((remainder > 0.05 * energy).any()):
            raise ValueError(
                f"face model {model.id} has shape modes that are neither symmetric nor antisymmetric"
            )
        self.register_buffer("shape_sign", sign)
        self.register_buffer("expression_order", _exchanged(model.expression_names))
        basis = model.albedo_basis.flatten(1)
        mirrored_albedo = torch.cat([model.albedo_basis, (model.albedo_mean)[None]])[:, partner]
        mirrored_albedo[-1] -= model.albedo_mean
        solved = torch.linalg.lstsq(basis.T, mirrored_albedo.flatten(1).T).solution.T
        self.register_buffer("albedo_matrix", solved[:-1])
        self.register_buffer("albedo_offset", solved[-1])

    def forward(self, theta: Theta) -> Theta:
        """Mirrors theta of B faces."""
        lighting = theta.lighting.unflatten(-1, (9, 3)).clone()
        lighting[:, ODD_BANDS] *= -1
        across = theta.translation.new_tensor([-1.0, 1.0, 1.0])
        return Theta(
            shape=theta.shape * self.shape_sign,
            expression=theta.expression[:, self.expression_order],
            albedo=theta.albedo @ self.albedo_matrix + self.albedo_offset,
            lighting=lighting.flatten(1),
            rotation_vector=-theta.rotation_vector * across,
            translation=theta.translation * across,
        )


def _exchanged(names: tuple[str, ...]) -> Tensor:
    """Finds, for each action, the index (E,) of its counterpart on the other side."""

    def partner(name: str) -> str:
        if name.endswith("Left"):
            return f"{name[:-4]}Right"
        return f"{name[:-5]}Left" if name.endswith("Right") else name

    lost = [name for name in names if partner(name) not in names]
    if lost:
        raise ValueError(f"the action {lost[0]} has no counterpart {partner(lost[0])}")
    return torch.tensor([names.index(partner(name)) for name in names])
