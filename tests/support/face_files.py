"""Miniature face models in the exact formats of published ones, made of the bundled head: keys, types, axes, units."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from old_pickle import Ch, python2_pickle
from scipy.io import savemat
from scipy.sparse import csc_matrix

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.formats.ict import LANDMARKS as ICT_LANDMARKS
from facegpt.morphable.formats.ict import VERTICES as ICT_VERTICES

SHAPES, EXPRESSIONS, COLOURS = 4, 3, 2
PITCH = 0.08
"""Radians by which the files' heads look up or down, as published ones do."""


@dataclass(frozen=True)
class Head:
    """The skin of the bundled head, pitched: vertices (V,3) metres, triangles, modes, sRGB colours, 68 vertices."""

    mean: np.ndarray
    triangles: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    colour: np.ndarray
    colour_modes: np.ndarray
    marks: np.ndarray


@cache
def head() -> Head:
    model = bundled()
    kept = np.flatnonzero((model.regions == 0).numpy())
    new = np.full(model.n_vertices, -1)
    new[kept] = np.arange(len(kept))
    triangles = new[model.triangles.numpy()]
    triangles = triangles[(triangles >= 0).all(1)]
    c, s = np.cos(PITCH), np.sin(PITCH)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    mean = model.mean.double().numpy()[kept] @ turn.T
    where = model.landmarks(model.mean[None], torch.eye(3)[None])[0].double().numpy() @ turn.T
    marks: list[int] = []
    for point in where:
        order = np.argsort(np.linalg.norm(mean - point, axis=1))
        marks.append(int(next(k for k in order if k not in marks)))
    rng = np.random.default_rng(0)
    return Head(
        mean,
        triangles,
        model.shape_basis[:SHAPES].double().numpy()[:, kept] @ turn.T,
        model.expression_basis[24 : 24 + EXPRESSIONS].double().numpy()[:, kept] @ turn.T,
        np.clip(0.5 + 0.1 * rng.normal(size=mean.shape), 0.1, 0.9),
        0.02 * rng.normal(size=(COLOURS, *mean.shape)),
        np.array(marks),
    )


def columns(modes: np.ndarray) -> np.ndarray:
    """Modes (K,V,3) as columns (3V,K)."""
    return modes.reshape(len(modes), -1).T


def unit(modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of length 1 (3V,K), and their lengths (K,1)."""
    wide = columns(modes)
    lengths = np.linalg.norm(wide, axis=0)
    return wide / lengths, lengths[:, None]


def bfm_2009(path: Path) -> Path:
    """`01_MorphableModel.mat`: micrometres, colours 0..255, deviations apart, triangles from 1, wound inwards."""
    h = head()
    shape, deviations = unit(h.shape * 1e6)
    colour, colour_deviations = unit(h.colour_modes * 255)
    single = {"shapeMU": h.mean.reshape(-1, 1) * 1e6, "shapePC": shape, "shapeEV": deviations}
    single |= {"texMU": h.colour.reshape(-1, 1) * 255, "texPC": colour, "texEV": colour_deviations}
    data: dict[str, Any] = {name: value.astype(np.float32) for name, value in single.items()}
    data["tl"] = (h.triangles[:, [0, 2, 1]] + 1).astype(np.int32)
    data["segbin"] = np.zeros((len(h.mean), 4), np.uint8)
    savemat(path, data, do_compression=True)
    return path


def bfm_front(path: Path) -> Path:
    """Deep3D's `BFM_model_front.mat`: decimetres, bases per standard deviation, indices from 1."""
    h = head()
    data = {
        "meanshape": (h.mean.reshape(1, -1) * 10).astype(np.float32),
        "meantex": (h.colour.reshape(1, -1) * 255).astype(np.float32),
        "idBase": columns(h.shape * 10).astype(np.float32),
        "exBase": columns(h.expression * 10).astype(np.float32),
        "texBase": columns(h.colour_modes * 255).astype(np.float32),
        "tri": h.triangles + 1.0,
        "point_buf": np.ones((len(h.mean), 8)),
        "tri_mask2": np.ones((10, 1)),
        "keypoints": h.marks[None] + 1.0,
    }
    savemat(path, data)
    return path


def bfm_h5(path: Path) -> Path:
    """`model2017-1_*.h5`: millimetres, eigenvalues apart, the neutral face split between shape and expression."""
    import h5py

    h = head()
    part = {"shape": h.shape * 1e3, "expression": h.expression * 1e3, "color": h.colour_modes}
    smile = 0.3 * h.expression[0] * 1e3
    means = {"shape": h.mean * 1e3 - smile, "expression": smile, "color": h.colour}
    with h5py.File(path, "w") as file:
        for name, modes in part.items():
            basis, deviations = unit(modes)
            group = file.create_group(f"{name}/model")
            group["mean"] = means[name].reshape(-1).astype(np.float32)
            group["pcaBasis"] = basis.astype(np.float32)
            group["pcaVariance"] = (deviations.reshape(-1) ** 2).astype(np.float32)
            group["noiseVariance"] = np.zeros(1, np.float32)
            file[f"{name}/representer/points"] = h.mean.T.astype(np.float32) * 1e3
            file[f"{name}/representer/cells"] = h.triangles.T.astype(np.int32)
        file["metadata/landmarks/json"] = np.bytes_(b"[]")
    return path


def flame(folder: Path, name: str = "generic_model.pkl", **changes: Any) -> Path:
    """FLAME's pickle as chumpy wrote it, and `landmark_embedding.npy` beside it; 5,023 vertices, 9,976 triangles."""
    h = head()
    vertices, faces = 5023, 9976
    eyes = np.arange(len(h.mean), vertices)
    mean = np.zeros((vertices, 3))
    mean[: len(h.mean)] = h.mean
    side = np.where(np.arange(len(eyes)) < len(eyes) // 2, 1, -1)
    mean[eyes] = np.stack([0.031 * side, np.zeros(len(eyes)), np.zeros(len(eyes))], 1)
    fans = [
        (part[0], part[k], part[k + 1])
        for part in (eyes[side > 0], eyes[side < 0])
        for k in range(1, len(part) - 1)
    ]
    triangles = np.concatenate([h.triangles, np.array(fans)])
    triangles = np.concatenate([triangles, triangles[np.zeros(max(faces - len(triangles), 0), int)]])[:faces]
    modes = np.zeros((vertices, 3, 400))
    modes[: len(h.mean), :, :SHAPES] = np.moveaxis(h.shape, 0, -1)
    modes[: len(h.mean), :, 300 : 300 + EXPRESSIONS] = np.moveaxis(h.expression, 0, -1)
    model = {
        "v_template": Ch(mean),
        "f": triangles.astype(np.uint32),
        "shapedirs": Ch(modes),
        "J_regressor": csc_matrix((5, vertices)),
        "weights": Ch(np.zeros((vertices, 5))),
        "kintree_table": np.zeros((2, 5), np.int64),
        "bs_style": "lbs",
        **changes,
    }
    path = folder / name
    path.write_bytes(python2_pickle(model))
    corner = [np.argwhere(h.triangles == mark)[0] for mark in h.marks]
    weights = np.zeros((1, 68, 3))
    for k, (_, column) in enumerate(corner):
        weights[0, k, column] = 1
    embedding = {
        "static_lmk_faces_idx": np.zeros(51, np.int64),
        "static_lmk_bary_coords": np.zeros((51, 3)),
        "dynamic_lmk_faces_idx": torch.zeros(79, 17, dtype=torch.int64),
        "dynamic_lmk_bary_coords": torch.zeros(79, 17, 3),
        "full_lmk_faces_idx": np.array([[row for row, _ in corner]]),
        "full_lmk_bary_coords": weights,
    }
    np.save(folder / "landmark_embedding.npy", np.array(embedding, dtype=object), allow_pickle=True)
    return path


def gnm(folder: Path, **changes: Any) -> Path:
    """`gnm_head.npz` with `head_sparse_68.txt`, whose jaw points 2 to 6 stand the other way round."""
    h = head()
    count = len(h.mean)
    groups = np.zeros((2, count), np.float32)
    groups[0] = 1
    data = {
        "template_vertex_positions": h.mean.astype(np.float32),
        "template_joint_positions": np.zeros((4, 3), np.float32),
        "vertex_identity_basis": h.shape.astype(np.float32),
        "joint_identity_basis": np.zeros((SHAPES, 4, 3), np.float32),
        "expression_basis": h.expression.astype(np.float32),
        "identity_names": np.array([f"head_{k}" for k in range(SHAPES)]),
        "expression_names": np.array([f"lower_face_region_{k}" for k in range(EXPRESSIONS)]),
        "triangles": h.triangles.astype(np.int32),
        "vertex_groups": groups,
        "vertex_group_names": np.array(["skin", "tongue"]),
        "version": np.array("3.0"),
        "variant": np.array("head"),
        **changes,
    }
    path = folder / "gnm_head.npz"
    np.savez(path, **{name: value for name, value in data.items() if value is not None})
    order = [0, 1, 6, 5, 4, 3, 2, *range(7, 68)]
    rows = [f"{h.marks[k]} 0.5 {h.marks[k]} 0.25 {h.marks[k]} 0.25" for k in order]
    (folder / "head_sparse_68.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def ict(
    folder: Path, identities: int = 2, actions: tuple[str, ...] = ("jawOpen", "mouthSmile_L", "mouthSmile_R")
) -> Path:
    """`FaceXModel`: centimetres, quads, `v/vt`, absolute meshes, 26,719 vertices with the README's landmarks."""
    h = head()
    places = np.setdiff1d(np.arange(9409), ICT_LANDMARKS)[: len(h.mean)]
    new = np.zeros(len(h.mean), np.int64)
    rest = np.setdiff1d(np.arange(len(h.mean)), h.marks)
    new[h.marks] = ICT_LANDMARKS
    new[rest] = places[: len(rest)]
    folder.mkdir()

    def write(name: str, moved: np.ndarray) -> None:
        mesh = np.zeros((ICT_VERTICES, 3))
        mesh[new] = (h.mean + moved) * 100
        lines = [
            "# ICT FaceKit",
            "mtllib ICTFaceModelMaterial.mtl",
            *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh),
        ]
        lines += ["vt 0.25 0.75", "vt 0.50 0.50", "usemtl M_Face"]
        lines += [f"f {a}/1 {b}/2 {c}/1" for a, b, c in new[h.triangles] + 1]
        lines += ["f 24600/1 24601/2 24602/1 24603/1"]
        end = "\r\n" if name.startswith("mouth") else "\n"
        (folder / f"{name}.obj").write_bytes((end.join(lines) + end).encode())

    write("generic_neutral_mesh", np.zeros_like(h.mean))
    for k in range(identities):
        write(f"identity{k:03d}", h.shape[k])
    for name, moved in zip(actions, h.expression, strict=True):
        write(name, moved)
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": list(actions)}), encoding="utf-8")
    return folder


def assert_is_head(model: FaceModel, rows: Callable[[np.ndarray], np.ndarray] = lambda array: array) -> None:
    """Asserts that a loaded model is the head of these files, upright and in metres; `rows`: its vertices by ours."""
    h = head()
    own = rows(model.mean.double().numpy())
    a, b = h.mean - h.mean.mean(0), own - own.mean(0)
    u, values, v = np.linalg.svd(b.T @ a)
    turn, scale = u @ v, values.sum() / (a * a).sum()
    assert np.abs(scale * a @ turn.T - b).max() < 1e-5
    # The landmarks here are the nearest vertices, not the points themselves, so the frame is good to a few per cent.
    assert abs(scale - 1) < 0.05
    assert abs(np.arcsin(turn[2, 1]) + PITCH) < 0.03
    modes = [(h.shape, model.shape_basis), (h.expression, model.expression_basis)]
    for known, loaded in modes:
        for mode, mine in zip(known, loaded[: len(known)].double().numpy(), strict=len(loaded) > 0):
            wanted = scale * mode @ turn.T
            assert np.abs(rows(mine) - wanted).max() < 2e-3 * np.abs(wanted).max() + 1e-7
    normal = np.cross(
        *(model.mean[model.triangles[:, k]] - model.mean[model.triangles[:, 0]] for k in (1, 2))
    )
    middle = model.mean[model.triangles].mean(1)
    forehead = ((middle[:, 1] > 0.03) & (middle[:, 2] > 0.0)).numpy()
    assert (normal[forehead, 2] > 0).mean() > 0.95, "triangles are counter-clockwise from outside"
