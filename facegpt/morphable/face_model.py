"""The linear 3D morphable model (3DMM), and the file that it is stored in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

FORMAT = "facegpt-face-model"
ACTIONS, SIGMA = "action", "sigma"
SMALL = ("shape_basis", "expression_basis", "albedo_mean", "albedo_basis", "albedo_examples")
COUNTS = ("triangles", "landmark_vertices", "jaw_vertices", "regions")
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
    eyes, interpupillary distance 63 mm. Shape and albedo coefficients count standard deviations. Expression
    coefficients are, as `expression_unit` says, strengths of named actions in 0..1 ("action", as the bundled model's
    ARKit ones) or standard deviations ("sigma"). Albedo is linear RGB in 0..1; a model may have no albedo or no
    expression modes. `licence` and `conversion` say where a model comes from and what was done to bring it here.

    Buffers: mean (V,3), shape_basis (S,V,3), expression_basis (E,V,3), albedo_mean (V,3), albedo_basis (A,V,3),
    albedo_examples (N,A), triangles (F,3) counter-clockwise from outside, uv (V,2), regions (V,) as indices into
    `region_names`, of which 0 is skin, landmark_vertices
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
        expression_unit: str = ACTIONS,
        licence: str = "",
        conversion: str = "",
    ) -> None:
        super().__init__()
        if expression_unit not in (ACTIONS, SIGMA):
            raise ValueError(f"face model {id} has expression unit {expression_unit!r}, not action or sigma")
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
        self.expression_unit = expression_unit
        self.licence = licence
        self.conversion = conversion

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
        """Computes vertices (B,V,3) in metres of shape (B,S) and expression (B,E)."""
        flat = shape @ self.shape_basis.flatten(1) + expression @ self.expression_basis.flatten(1)
        vertices: Tensor = self.mean + flat.unflatten(-1, (-1, 3))
        return vertices

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Computes vertex albedo (B,V,3) of coefficients (B,A): linear RGB, clamped to 0..1."""
        flat = coefficients @ self.albedo_basis.flatten(1)
        colours: Tensor = (self.albedo_mean + flat.unflatten(-1, (-1, 3))).clamp(0, 1)
        return colours

    def landmarks(self, vertices: Tensor, rotation: Tensor) -> Tensor:
        """Places the 68 iBUG landmarks (B,68,3) on `vertices` (B,V,3), in their frame, for a head turned by
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
        """Evaluates barycentric points (B,...,3) with vertex `ids` (...,3) and `weights` (...,3)."""
        corners = vertices[:, ids.flatten()].unflatten(1, ids.shape)
        points: Tensor = (corners * weights[..., None]).sum(-2)
        return points

    def to_bytes(self) -> bytes:
        """Serialises the model as safetensors (bases in float16); the same model gives the same bytes."""
        tensors = {name: getattr(self, name).cpu().contiguous() for name in TENSORS}
        tensors |= {name: tensors[name].half() for name in SMALL}
        tensors |= {name: tensors[name].to(torch.int32) for name in COUNTS}
        header = {
            "format": FORMAT,
            "id": self.id,
            "region_names": json.dumps(self.region_names),
            "expression_names": json.dumps(self.expression_names),
            "expression_unit": self.expression_unit,
            "licence": self.licence,
            "conversion": self.conversion,
        }
        return sorted_header(tensor_bytes(tensors, metadata=header))

    def save(self, path: Path) -> None:
        """Writes the model as one safetensors file, readable by `load`."""
        path.write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> FaceModel:
        """Reads a model that `save` wrote; raises FileNotFoundError, or ValueError if the file is something else."""
        if not path.is_file():
            raise FileNotFoundError(f"no face model at {path}")
        return cls.from_bytes(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "this") -> FaceModel:
        """Reads what `to_bytes` made; the sha256 is that of the bytes. Raises ValueError, whose message calls them
        `name`.
        """
        header = safetensors_metadata(data)
        if header.get("format") != FORMAT:
            raise ValueError(f"{name} is not a face model of this project (format {header.get('format')!r})")
        return cls(
            parse_tensors(data),
            id=header["id"],
            sha256=hashlib.sha256(data).hexdigest(),
            region_names=tuple(json.loads(header["region_names"])),
            expression_names=tuple(json.loads(header["expression_names"])),
            expression_unit=header.get("expression_unit", ACTIONS),
            licence=header.get("licence", ""),
            conversion=header.get("conversion", ""),
        )


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """Reads the metadata in the header of a safetensors file; empty if there is none, or if it is no such file."""
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        return {}
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return {}
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def sorted_header(data: bytes) -> bytes:
    """Rewrites a safetensors file with its header in sorted order, which differs from call to call of the writer."""
    length = int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
