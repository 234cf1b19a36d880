"""The 68 iBUG landmarks of the baked head by anatomy, as barycentric points, with candidates for a jaw contour that
follows the pose.

No predictor and no labelled photo is used: lids, lips and jaw are found on the surface of the mean head.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facegpt.morphable.bake.appearance import brow_line, smoothstep
from facegpt.morphable.bake.heads import I64
from facegpt.morphable.bake.shape import F64, LinearHead
from facegpt.morphable.face_area import SKIN
from facegpt.morphable.rays import outermost

# (vertices, triangles, pixels) -> triangle per pixel (-1 outside) and barycentric coordinates, orthographic
# from the front
Rasterize = Callable[[F64, I64, int], tuple[I64, F64]]
EXTENT = 0.14
JAW_CANDIDATES = 16
SPACING_STEPS = 30
JAW_AXIS_Y = -0.045
JAW_BACK_Z = -0.060
# Where the surface turns away from a viewer in front; under the chin the throat goes on falling, so it must
# count earlier.
SIDE_SLOPE, CHIN_SLOPE = 0.12, 0.35
# Distances (m) of the brow's points from the midline, tail to head: 65 to 15 % of the distance of the outer corners of
# the eyes, where ICT-FaceKit's published points are.
BROW_PLACES = (0.0598, 0.0507, 0.0390, 0.0262, 0.0135)


class FrontView:
    """The head seen from the front, orthographic: looks up the surface under a point (x,y) in metres."""

    def __init__(self, vertices: F64, head: LinearHead, rasterize: Rasterize, pixels: int = 1400) -> None:
        self.head, self.pixels = head, pixels
        self.triangle, self.barycentric = rasterize(vertices, head.triangles, pixels)
        shown = self.triangle >= 0
        region = head.regions[head.triangles[np.maximum(self.triangle, 0)]]
        self.skin = shown & (region == 0).all(-1)
        self.eyeball = shown & np.isin(region, [1, 2]).all(-1)
        self.mouth = shown & np.isin(region, [7, 8, 9]).all(-1)
        lips = head.masks["lips"][head.triangles[np.maximum(self.triangle, 0)]]
        self.lips = self.skin & ((lips * self.barycentric).sum(-1) > 0.5)

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        scale = (self.pixels - 1) / 2 / EXTENT
        return round((self.pixels - 1) / 2 - y * scale), round((self.pixels - 1) / 2 + x * scale)

    def metres(self, row: float, column: float) -> tuple[float, float]:
        scale = EXTENT / ((self.pixels - 1) / 2)
        return (column - (self.pixels - 1) / 2) * scale, ((self.pixels - 1) / 2 - row) * scale

    def skin_at(self, x: float, y: float) -> tuple[I64, F64]:
        """Vertex ids (3,) and barycentric coordinates (3,) of the visible skin nearest to (x,y)."""
        row, column = self.pixel(x, y)
        rows, columns = np.nonzero(self.skin[row - 60 : row + 61, column - 60 : column + 61])
        nearest = np.argmin((rows - 60) ** 2 + (columns - 60) ** 2)
        r, c = rows[nearest] + row - 60, columns[nearest] + column - 60
        return self.head.triangles[self.triangle[r, c]], self.barycentric[r, c]

    def span(
        self, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], x: float, low: float, high: float
    ) -> tuple[float, float]:
        """Lowest and highest y (m) of `mask` in the column at `x`, looking between `low` and `high`."""
        top, column = self.pixel(x, high)
        bottom, _ = self.pixel(x, low)
        rows = np.nonzero(mask[top:bottom, column])[0] + top
        return self.metres(float(rows.max()), column)[1], self.metres(float(rows.min()), column)[1]


def inner_landmarks(head: LinearHead, names: tuple[str, ...], rasterize: Rasterize) -> list[tuple[I64, F64]]:
    """Points 17-67 in iBUG order, each as vertex ids (3,) and barycentric coordinates (3,)."""
    mean = head.mean.astype(np.float64)
    view = FrontView(mean, head, rasterize)
    opened = FrontView(mean + 0.6 * head.expression[names.index("jawOpen")], head, rasterize)
    points: list[tuple[float, float]] = []
    for side in (-1, 1):
        ordered = BROW_PLACES[::-side]
        points += [(side * x, float(brow_line(x)) + 0.0008) for x in ordered]
    points += [(0.0, y) for y in (-0.0006, -0.0146, -0.0286, -0.0425)]
    points += [(-0.0135, -0.0497), (-0.0070, -0.0515), (0.0, -0.0525), (0.0070, -0.0515), (0.0135, -0.0497)]
    for side in (-1, 1):
        rows, columns = np.nonzero(view.eyeball)
        xy = np.array([view.metres(r, c) for r, c in zip(rows[::7], columns[::7], strict=True)])
        eye = xy[np.sign(xy[:, 0]) == side]
        outer = eye[np.argmax(np.abs(eye[:, 0]))] + [side * 0.0012, 0]
        inner = eye[np.argmin(np.abs(eye[:, 0]))] - [side * 0.0018, 0.0004]
        first, last = (outer, inner) if side < 0 else (inner, outer)
        lids = []
        for share in (0.33, 0.67):
            x = float(first[0] + share * (last[0] - first[0]))
            lids.append((x, *view.span(view.eyeball, x, -0.02, 0.02)))
        points += [tuple(first), (lids[0][0], lids[0][2]), (lids[1][0], lids[1][2])]
        points += [tuple(last), (lids[1][0], lids[1][1]), (lids[0][0], lids[0][1])]
    corner = (0.0248, -0.0752)

    def lip(x: float, upper: bool) -> tuple[float, float]:
        return x, view.span(view.lips, x, -0.095, -0.058)[1 if upper else 0]

    points += [
        (-corner[0], corner[1]),
        lip(-0.015, True),
        lip(-0.0075, True),
        lip(0.0, True),
        lip(0.0075, True),
    ]
    points += [
        lip(0.015, True),
        corner,
        lip(0.016, False),
        lip(0.008, False),
        lip(0.0, False),
        lip(-0.008, False),
    ]
    points += [lip(-0.016, False)]
    found = [view.skin_at(*point) for point in points]
    inside: list[tuple[I64, F64]] = [view.skin_at(-0.0225, -0.0752)]
    for upper in (True, False):
        for x in (-0.008, 0.0, 0.008) if upper else (0.008, 0.0, -0.008):
            low, high = opened.span(opened.mouth, x, -0.13, -0.058)
            inside.append(opened.skin_at(x, high + 0.0004 if upper else low - 0.0004))
        if upper:
            inside.append(view.skin_at(0.0225, -0.0752))
    return found + inside


def _outermost(head: LinearHead, z: float, angle: float) -> tuple[float, I64, F64] | None:
    """Finds the farthest skin hit of the ray from the jaw axis at depth `z` towards `angle`."""
    triangles = head.triangles[(head.regions == SKIN)[head.triangles].all(1)]
    corners = head.mean[triangles].astype(np.float64)
    return outermost(corners, triangles, np.array([0, JAW_AXIS_Y, z]), angle)


def _hits(head: LinearHead, angle: float) -> tuple[F64, F64, list[tuple[I64, F64]]]:
    """Finds depths (m), radii (m) and places of the outermost skin at `angle`, from the front to the back."""
    depths = np.arange(0.045, JAW_BACK_Z, -0.001)
    hits = [(z, hit) for z in depths if (hit := _outermost(head, float(z), angle)) is not None]
    return np.array([z for z, _ in hits]), np.array([hit[0] for _, hit in hits]), [hit[1:] for _, hit in hits]


def _edge_depth(head: LinearHead, angle: float) -> float:
    """Finds the depth at which the surface first turns away from a viewer in front, at `angle`."""
    depths, radii, _ = _hits(head, angle)
    slope = np.gradient(radii, -depths)
    chin = smoothstep(np.sin(np.deg2rad(20)), np.sin(np.deg2rad(60)), np.asarray(-np.sin(angle)))
    limit = SIDE_SLOPE + (CHIN_SLOPE - SIDE_SLOPE) * float(chin)
    tangent = np.flatnonzero((slope < limit) & (radii > 0.6 * radii.max()))
    return float(depths[tangent[0]] if len(tangent) else depths[-1])


def _jaw_row(head: LinearHead, angle: float, depth: float) -> tuple[F64, list[tuple[I64, F64]]]:
    """Finds the edge of the face (x,y,z) at `angle` and `depth`, and candidates from that edge to the front."""
    depths, radii, places = _hits(head, angle)
    edge = int(np.abs(depths - depth).argmin())
    front = int(np.flatnonzero(radii > 0.45 * radii[edge])[0])
    chosen = np.round(np.linspace(edge, front, JAW_CANDIDATES)).astype(int)
    point = np.array([radii[edge] * np.cos(angle), JAW_AXIS_Y + radii[edge] * np.sin(angle), depths[edge]])
    return point, [places[k] for k in chosen]


def jaw_candidates(head: LinearHead) -> tuple[I64, F64]:
    """Finds vertex ids and barycentric coordinates (17,K,3) of candidates for points 0-16; the first of each row is
    the frontal edge. From the height of the eyes to the chin these edges are evenly spaced, as seen from the front.
    """
    angles = np.deg2rad(np.linspace(-90, 40, 131))
    # The turn of the surface alone jumps to and fro in depth; from the chin up, the edge of a face only goes back.
    depths = np.minimum.accumulate([_edge_depth(head, float(angle)) for angle in angles])

    def row(angle: float) -> tuple[F64, list[tuple[I64, F64]]]:
        return _jaw_row(head, angle, float(np.interp(angle, angles, depths)))

    height = np.array([row(float(angle))[0][1] for angle in angles])
    half = np.linspace(angles[0], angles[height <= -0.002].max(), 9)
    for _ in range(SPACING_STEPS):
        points = np.stack([row(float(angle))[0] for angle in half])
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1))])
        half = (half + np.interp(np.linspace(0, length[-1], 9), length, half)) / 2
    # np.pi - angle is the other side's; its depth is that of its mirror image.
    both = [*[(np.pi - angle, angle) for angle in half[::-1]], *[(angle, angle) for angle in half[1:]]]
    rows = [_jaw_row(head, turned, float(np.interp(own, angles, depths)))[1] for turned, own in both]
    ids = np.array([[ids for ids, _ in row] for row in rows], np.int64)
    weights = np.array([[weights for _, weights in row] for row in rows])
    return ids, weights
