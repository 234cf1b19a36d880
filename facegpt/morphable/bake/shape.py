"""The linear shape and expression bases of `anny-head`, made of sampled heads: symmetric, and with teeth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.spatial import cKDTree

from facegpt.morphable.bake.heads import F32, I64, REGIONS
from facegpt.morphable.face_area import SKIN

F64 = npt.NDArray[np.float64]
TEETH = len(REGIONS)
REGION_NAMES = (*REGIONS, "teeth")


@dataclass
class LinearHead:
    """A linear head: mean (V,3), shape (S,V,3), expression (E,V,3), triangles (F,3), uv (V,2), regions (V,),
    masks (V,).
    """

    mean: F32
    shape: F32
    expression: F32
    triangles: I64
    uv: F32
    regions: I64
    masks: dict[str, F32]


def mirror_indices(mean: F32) -> I64:
    """Finds the index (V,) of each vertex' mirror image in x; raises ValueError where the mesh is not symmetric to 0.5
    mm.
    """
    distance, index = cKDTree(mean).query(mean * np.array([-1, 1, 1]))
    if distance.max() > 5e-4 or not (index[index] == np.arange(len(index))).all():
        raise ValueError(f"the head is not symmetric: {distance.max() * 1e3:.2f} mm")
    return np.asarray(index, np.int64)


def symmetric_pca(heads: F32, weights: F64, count: int) -> tuple[F32, F32, F64]:
    """Computes mean (V,3), modes (count,V,3) per standard deviation and the weighted variance that each explains.

    Every head enters with its mirror image, so a mode is either symmetric or antisymmetric.
    """
    mirror = mirror_indices(heads.mean(0))
    mirrored = heads[:, mirror] * np.array([-1, 1, 1], np.float32)
    both = np.concatenate([heads, mirrored])
    mean = both.mean(0)
    centred = (both - mean).reshape(len(both), -1)
    scale = np.repeat(np.sqrt(weights), 3).astype(np.float32)
    outer = ((centred * scale) @ (centred * scale).T).astype(np.float64)
    values, vectors = eigh(outer, subset_by_index=[len(both) - count, len(both) - 1])
    coefficients = vectors[:, ::-1] * np.sqrt(len(both))
    modes = (coefficients.T.astype(np.float32) @ centred / len(both)).reshape(count, -1, 3)
    return mean.astype(np.float32), modes.astype(np.float32), values[::-1] / float(np.trace(outer))


def symmetric_actions(actions: F32, names: tuple[str, ...], mirror: I64) -> F32:
    """Averages each ARKit action with the mirror image of its counterpart (Left with Right, a middle one with
    itself).
    """
    swap = {
        n: n[:-4] + "Right" if n.endswith("Left") else n[:-5] + "Left" if n.endswith("Right") else n
        for n in names
    }
    other = np.stack([actions[names.index(swap[name])] for name in names])
    both = actions + other[:, mirror] * np.array([-1, 1, 1], np.float32)
    return np.asarray(both / 2, np.float32)


def subdivide(head: LinearHead, chosen: I64) -> LinearHead:
    """Splits each triangle whose three vertices lie in regions `chosen` into four; all linear quantities are
    averaged.
    """
    inside = np.isin(head.regions, chosen)[head.triangles].all(1)
    old = head.triangles[inside]
    edges = np.sort(np.concatenate([old[:, [0, 1]], old[:, [1, 2]], old[:, [2, 0]]]), 1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = inverse.reshape(3, -1).T + len(head.mean)
    (a, b, c), (ab, bc, ca) = old.T, middle.T
    new = np.stack(
        [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], 1
    ).reshape(-1, 3)

    def halved(values: F32) -> F32:
        added = values[..., unique, :].mean(-2)
        return np.concatenate([values, added], -2).astype(np.float32)

    return LinearHead(
        mean=halved(head.mean),
        shape=halved(head.shape),
        expression=halved(head.expression),
        triangles=np.concatenate([head.triangles[~inside], new]),
        uv=halved(head.uv),
        regions=np.concatenate([head.regions, head.regions[unique[:, 0]]]),
        masks={k: np.concatenate([m, m[unique].mean(1)]).astype(np.float32) for k, m in head.masks.items()},
    )


def add_teeth(head: LinearHead, names: tuple[str, ...], columns: int = 17) -> LinearHead:
    """Adds an upper and a lower dental arch, which anny lacks: two bent strips behind the lips.

    The upper arch follows the shape of the mouth as a whole, the lower one also the jaw's actions.
    """
    lips = np.where((head.masks["lips"] > 0.5) & (head.regions == SKIN))[0]
    front = lips[np.abs(head.mean[lips, 0]) < 0.004]
    line_y = float(np.median(head.mean[lips, 1])) + 0.001
    front_z = float(head.mean[front, 2].max()) - 0.0165
    chin = int(
        np.argmin(np.where(np.abs(head.mean[:, 0]) < 0.003, head.mean[:, 1] - 0.4 * head.mean[:, 2], 9))
    )
    across = np.linspace(-1, 1, columns)
    x = 0.022 * np.sin(across * 1.35)
    z = front_z - 0.030 * (1 - np.cos(across * 1.35))
    result = head
    for low, high, jaw in ((0.0005, 0.0095, 0.0), (-0.0085, -0.0005, 0.85)):
        rows = np.array([low, (low + high) / 2, high])
        mean = np.stack(
            [np.stack([x, np.full(columns, line_y + y), z - 0.0008 * (jaw > 0)], 1) for y in rows]
        )
        mean = mean.reshape(-1, 3).astype(np.float32)
        n = len(mean)
        shape = np.repeat(result.shape[:, lips].mean(1, keepdims=True), n, 1)
        expression = np.zeros((len(names), n, 3), np.float32)
        for action in ("jawOpen", "jawLeft", "jawRight", "jawForward"):
            expression[names.index(action)] = jaw * result.expression[names.index(action), chin]
        r, c = np.meshgrid(np.arange(2), np.arange(columns - 1), indexing="ij")
        a = (r * columns + c).reshape(-1)
        quads = np.stack([a, a + 1, a + columns + 1, a + columns], 1) + len(result.mean)
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        result = LinearHead(
            mean=np.concatenate([result.mean, mean]),
            shape=np.concatenate([result.shape, shape], 1),
            expression=np.concatenate([result.expression, expression], 1),
            triangles=np.concatenate([result.triangles, triangles]),
            uv=np.concatenate([result.uv, np.zeros((n, 2), np.float32)]),
            regions=np.concatenate([result.regions, np.full(n, TEETH)]),
            masks={k: np.concatenate([m, np.zeros(n, np.float32)]) for k, m in result.masks.items()},
        )
    return result
