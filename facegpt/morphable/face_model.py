"""The linear 3D morphable model (3DMM) that every other room speaks in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = "facegpt-face-model"
TENSORS = (
    "mean",
    "shape_basis",
    "expression_basis",
    "albedo_mean",
    "albedo_basis",
    "albedo_examples",
    "triangles",
    "uv",
    "regions",
    "landmark_vertices",
    "landmark_weights",
    "jaw_vertices",
    "jaw_weights",
    "jaw_directions",
)


class FaceModel(nn.Module):
    """A linear 3DMM: `vertices = mean + shape_basis @ shape + expression_basis @ expression`, albedo likewise.

    Frame: metres, x right in the image (the subject's left), y up, z towards the camera, origin midway between the
    eyes, interpupillary distance 63 mm. Shape and albedo coefficients count standard deviations, expression
    coefficients are ARKit action strengths in 0..1. Albedo is linear RGB in 0..1.

    Buffers: mean (V,3), shape_basis (S,V,3), expression_basis (E,V,3), albedo_mean (V,3), albedo_basis (A,V,3),
    albedo_examples (N,A), triangles (F,3) counter-clockwise from outside, uv (V,2), regions (V,), landmark_vertices
    and landmark_weights (51,3) for iBUG 17-67, jaw_vertices and jaw_weights (17,K,3), jaw_directions (17,3).
    """

    mean: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    albedo_mean: Tensor
    albedo_basis: Tensor
    albedo_examples: Tensor
    triangles: Tensor
    uv: Tensor
    regions: Tensor
    landmark_vertices: Tensor
    landmark_weights: Tensor
    jaw_vertices: Tensor
    jaw_weights: Tensor
    jaw_directions: Tensor

    def __init__(
        self,
        tensors: dict[str, Tensor],
        *,
        id: str,
        sha256: str,
        region_names: tuple[str, ...],
        expression_names: tuple[str, ...],
    ) -> None:
        super().__init__()
        missing = [name for name in TENSORS if name not in tensors]
        if missing:
            raise ValueError(f"face model {id} lacks {', '.join(missing)}")
        for name in TENSORS:
            value = tensors[name]
            self.register_buffer(name, value.float() if value.is_floating_point() else value.long())
        self.id = id
        self.sha256 = sha256
        self.region_names = region_names
        self.expression_names = expression_names

    @property
    def n_vertices(self) -> int:
        return self.mean.shape[0]

    @property
    def n_shape(self) -> int:
        return self.shape_basis.shape[0]

    @property
    def n_expression(self) -> int:
        return self.expression_basis.shape[0]

    @property
    def n_albedo(self) -> int:
        return self.albedo_basis.shape[0]

    def vertices(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Vertices (B,V,3) in metres of shape (B,S) and expression (B,E)."""
        flat = shape @ self.shape_basis.flatten(1) + expression @ self.expression_basis.flatten(1)
        vertices: Tensor = self.mean + flat.unflatten(-1, (-1, 3))
        return vertices

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Vertex albedo (B,V,3) of coefficients (B,A): linear RGB, clamped to 0..1."""
        flat = coefficients @ self.albedo_basis.flatten(1)
        colours: Tensor = (self.albedo_mean + flat.unflatten(-1, (-1, 3))).clamp(0, 1)
        return colours

    def landmarks(self, vertices: Tensor, rotation: Tensor) -> Tensor:
        """The 68 iBUG landmarks (B,68,3) on `vertices` (B,V,3), in their frame, for a head turned by
        `rotation` (B,3,3).

        Points 17-67 are fixed barycentric points. Each jaw point 0-16 is, of its row of candidates on the surface,
        the one farthest out in the image, so the contour follows the silhouette of a turned head (landmark marching,
        Zhu et al., CVPR 2015). The choice of candidate carries no gradient; the chosen point does.
        """
        inner = self._points(vertices, self.landmark_vertices, self.landmark_weights)
        rows = self._points(vertices, self.jaw_vertices, self.jaw_weights)
        with torch.no_grad():
            turned = torch.einsum("bij,brkj->brki", rotation, rows)[..., :2]
            outward = torch.einsum("bij,rj->bri", rotation, self.jaw_directions)[..., :2]
            chosen = torch.einsum("brki,bri->brk", turned, outward).argmax(-1)
        jaw = rows.gather(2, chosen[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)
        return torch.cat([jaw, inner], 1)

    @staticmethod
    def _points(vertices: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        corners = vertices[:, ids.flatten()].unflatten(1, ids.shape)
        points: Tensor = (corners * weights[..., None]).sum(-2)
        return points

    def save(self, path: Path) -> None:
        """Writes the model as one safetensors file (bases in float16), readable by `load`."""
        small = ("shape_basis", "expression_basis", "albedo_mean", "albedo_basis", "albedo_examples")
        tensors = {name: getattr(self, name).cpu().contiguous() for name in TENSORS}
        for name in small:
            tensors[name] = tensors[name].half()
        for name in ("triangles", "landmark_vertices", "jaw_vertices", "regions"):
            tensors[name] = tensors[name].to(torch.int32)
        header = {
            "format": FORMAT,
            "id": self.id,
            "region_names": json.dumps(self.region_names),
            "expression_names": json.dumps(self.expression_names),
        }
        save_file(tensors, str(path), metadata=header)

    @classmethod
    def load(cls, path: Path) -> FaceModel:
        """Reads a model that `save` wrote; raises FileNotFoundError, or ValueError if the file is something else."""
        if not path.is_file():
            raise FileNotFoundError(f"no face model at {path}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(
                    f"{path} is not a face model of this project (format {header.get('format')!r})"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return cls(
            tensors,
            id=header["id"],
            sha256=digest,
            region_names=tuple(json.loads(header["region_names"])),
            expression_names=tuple(json.loads(header["expression_names"])),
        )
