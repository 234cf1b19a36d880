"""ICT-FaceKit Light: a folder of OBJ files (MIT licence, USC ICT)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from facegpt.morphable.face_model import ACTIONS
from facegpt.morphable.formats.raw import F32, I64, FaceModelError, RawModel, vertex

NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
VERTICES = 26719
WHERE = "ICT-FaceKit's folder FaceXModel: https://github.com/ICT-VGL/ICT-FaceKit (MIT)"
LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147),
    *(4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081),
    *(0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
"""The 68 points by vertex, as the toolkit's README lists them ("Multi-PIE 68 point facial landmarks indices")."""
REGIONS = (
    (11248, "head"),
    (13294, "mouth_socket"),
    (14062, "socket_eye"),
    (17039, "mouth_gums_tongue"),
    (21451, "teeth"),
    (23021, "eye_left"),
    (24591, "eye_right"),
)
"""Where parts of the mesh end, from the README's table of geometries. What follows them (tear fluid, shells around the
eyes, lashes) is see-through in the original, would hide the eyes here, and is left out."""
NAMES = ("head", "mouth_socket", "socket_eye", "mouth_gums_tongue", "teeth", "eye_left", "eye_right")


def read_ict(folder: Path) -> RawModel:
    """Reads the toolkit's folder `FaceXModel`: as many identities as there are, from identity000.obj on.

    Coefficients of identities count standard deviations (what its own samples draw them as), those of expressions are
    strengths of its 53 actions in 0..1, renamed from `_L`, `_R` to ARKit's `Left`, `Right`.

    Raises:
        FaceModelError: a file is missing, or has another topology.
    """
    neutral, uv, triangles = read_obj(folder / NEUTRAL)
    if len(neutral) != VERTICES:
        raise FaceModelError(
            f"{folder / NEUTRAL} has {len(neutral)} vertices, ICT-FaceKit Light {VERTICES}; {WHERE}"
        )
    kept = REGIONS[-1][0]
    try:
        names = json.loads((folder / INDICES).read_text(encoding="utf-8"))["expressions"]
    except (OSError, ValueError, KeyError) as error:
        raise FaceModelError(f"no list of expressions in {folder / INDICES} ({error}); {WHERE}") from None
    identities = _identities(folder)
    regions = np.zeros(kept, np.int64)
    start = 0
    for end, name in REGIONS:
        regions[start:end] = NAMES.index(name)
        start = end
    inside = triangles[(triangles < kept).all(1)]
    return RawModel(
        id=f"ict-facekit-light-{len(identities)}",
        licence="MIT",
        source="ICT-FaceKit Light (USC ICT)",
        per_metre=100.0,
        mean=neutral[:kept],
        shape=np.stack([_moved(path, neutral)[:kept] for path in identities]),
        expression=np.stack([_moved(folder / f"{name}.obj", neutral)[:kept] for name in names]),
        triangles=inside,
        landmarks={k: vertex(index) for k, index in enumerate(LANDMARKS)},
        expression_names=tuple(_arkit(name) for name in names),
        expression_unit=ACTIONS,
        region_names=NAMES,
        regions=regions,
        uv=uv[:kept],
        notes=[
            f"{len(identities)} of 100 identity modes",
            f"vertices {kept} to {VERTICES - 1} (tear fluid, eye shells, lashes) left out",
            "no albedo: one plain colour for each part",
        ],
    )


def _identities(folder: Path) -> list[Path]:
    paths = sorted(
        path for path in folder.glob("identity*.obj") if re.fullmatch(r"identity\d{3}\.obj", path.name)
    )
    if not paths:
        raise FaceModelError(f"no identity000.obj in {folder}; {WHERE}")
    gap = next((k for k, path in enumerate(paths) if path.name != f"identity{k:03d}.obj"), None)
    if gap is not None:
        raise FaceModelError(f"identity{gap:03d}.obj is missing in {folder}, later ones are there; {WHERE}")
    return paths


def _moved(path: Path, neutral: F32) -> F32:
    vertices = _vertices(_lines(path), path)
    if vertices.shape != neutral.shape:
        raise FaceModelError(f"{path} has {len(vertices)} vertices, the neutral mesh {len(neutral)}; {WHERE}")
    return vertices - neutral


def _arkit(name: str) -> str:
    return re.sub(r"_R$", "Right", re.sub(r"_L$", "Left", name))


def read_obj(path: Path) -> tuple[F32, F32, I64]:
    """Reads vertices (V,3), a UV for each (V,2; that of its first corner) and triangles (F,3) of an OBJ file."""
    lines = _lines(path)
    vertices = _vertices(lines, path)
    texture = _numbers(lines, "vt ", 2, path)
    uv = np.zeros((len(vertices), 2), np.float32)
    unset = np.ones(len(vertices), bool)
    triangles: list[tuple[int, int, int]] = []
    for line in lines:
        if not line.startswith("f "):
            continue
        corners = [word.split("/") for word in line.split()[1:]]
        ids = [int(corner[0]) - 1 for corner in corners]
        for index, corner in zip(ids, corners, strict=True):
            if unset[index] and len(corner) > 1 and corner[1]:
                uv[index], unset[index] = texture[int(corner[1]) - 1], False
        triangles += [(ids[0], ids[k], ids[k + 1]) for k in range(1, len(ids) - 1)]
    return vertices, uv, np.array(triangles, np.int64).reshape(-1, 3)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FaceModelError(f"cannot read {path}: {error}; {WHERE}") from None


def _vertices(lines: list[str], path: Path) -> F32:
    return _numbers(lines, "v ", 3, path)


def _numbers(lines: list[str], key: str, width: int, path: Path) -> F32:
    try:
        words = " ".join([line[len(key) :] for line in lines if line.startswith(key)]).split()
        return np.array(words, np.float32).reshape(-1, width)
    except ValueError as error:
        raise FaceModelError(f"{path} is no OBJ file as ICT-FaceKit has them ({error}); {WHERE}") from None
