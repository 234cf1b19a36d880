"""Bakes `anny-head`: `python -m facegpt.morphable.bake [DEST]` (extra `bake`; about three minutes, fixed seed)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from facegpt.morphable.bake.appearance import Appearance, albedo_pca
from facegpt.morphable.bake.audit import write_directions
from facegpt.morphable.bake.heads import I64, AnnyHeads
from facegpt.morphable.bake.landmarks import EXTENT, JAW_AXIS_Y, inner_landmarks, jaw_candidates
from facegpt.morphable.bake.shape import (
    F64,
    REGION_NAMES,
    LinearHead,
    add_teeth,
    mirror_indices,
    subdivide,
    symmetric_actions,
    symmetric_pca,
)
from facegpt.morphable.bundled import PATH
from facegpt.morphable.directions import DIRECTIONS
from facegpt.morphable.face_area import component_weights
from facegpt.morphable.face_model import FaceModel
from facegpt.rendering import rasterize

HEADS, ALBEDOS, MODES = 4096, 2048, 80


def orthographic(vertices: F64, triangles: I64, pixels: int) -> tuple[I64, F64]:
    """Rasterises `vertices` seen from the front, orthographic, `EXTENT` metres to each side of the origin."""
    scale = (pixels - 1) / 2 / EXTENT
    centre = (pixels - 1) / 2
    screen = np.stack(
        [centre + vertices[:, 0] * scale, centre - vertices[:, 1] * scale, 1000.0 - vertices[:, 2]], 1
    )
    fragments = rasterize(torch.from_numpy(screen)[None], torch.from_numpy(triangles), pixels)
    return fragments.triangle[0].numpy(), fragments.barycentric[0].numpy()


def bake() -> FaceModel:
    """Samples anny, builds the bases and places the landmarks."""
    anny = AnnyHeads()
    heads, actions, names, cut = anny.sample(HEADS, seed=0), anny.actions(), anny.action_names, anny.topology
    mean, modes, explained = symmetric_pca(heads, component_weights(heads.mean(0), cut.regions), MODES)
    print(
        "visible variance explained:", {k: round(float(explained[:k].sum()), 3) for k in (5, 10, 20, 40, 80)}
    )
    mirror = mirror_indices(mean)
    masks = {name: ((mask + mask[mirror]) / 2).astype(np.float32) for name, mask in cut.masks.items()}
    head = LinearHead(
        mean=mean,
        shape=modes,
        expression=symmetric_actions(actions, names, mirror),
        triangles=cut.triangles,
        uv=cut.uv,
        regions=cut.regions,
        masks=masks,
    )
    eyeballs = np.array([1, 2])
    head = add_teeth(subdivide(subdivide(head, eyeballs), eyeballs), names)

    appearance, rng = Appearance(head), np.random.default_rng(0)
    albedo_mean, albedo_modes, examples = albedo_pca(
        np.stack([appearance.sample(rng) for _ in range(ALBEDOS)]), MODES
    )
    inner = inner_landmarks(head, names, orthographic)
    jaw_ids, jaw_weights = jaw_candidates(head)
    edge = (head.mean[jaw_ids[:, 0]] * jaw_weights[:, 0, :, None]).sum(1) - np.array([0, JAW_AXIS_Y, 0])
    edge[:, 2] = 0
    arrays = {
        "mean": head.mean,
        "shape_basis": head.shape,
        "expression_basis": head.expression,
        "albedo_mean": albedo_mean,
        "albedo_basis": albedo_modes,
        "albedo_examples": examples,
        "triangles": head.triangles,
        "uv": head.uv,
        "regions": head.regions,
        "landmark_vertices": np.stack([ids for ids, _ in inner]),
        "landmark_weights": np.stack([weights for _, weights in inner]),
        "jaw_vertices": jaw_ids,
        "jaw_weights": jaw_weights,
        "jaw_directions": edge / np.linalg.norm(edge, axis=1, keepdims=True),
    }
    return FaceModel(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()},
        id="anny-head/1",
        sha256="",
        region_names=REGION_NAMES,
        expression_names=names,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dest", nargs="?", type=Path, default=PATH)
    dest = parser.parse_args().dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    bake().save(dest)
    model = FaceModel.load(dest)
    write_directions(AnnyHeads(), model, dest.with_name(DIRECTIONS.name))
    print(f"{dest}: {model.n_vertices} vertices, {len(model.triangles)} triangles, sha256 {model.sha256}")


if __name__ == "__main__":
    main()
