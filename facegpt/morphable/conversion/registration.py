"""Which point of one model's mean face is which point of another's: a non-rigid registration of the two surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from facegpt.morphable.conversion.face import F64, I64, Face
from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.surface import Nearest, Surface

SHAPE_ROUNDS = 6
STIFFNESS = (10.0, 10.0, 3.0, 3.0, 1.0, 1.0, 0.3, 0.3, 0.1, 0.1)
"""How much a vertex must move as its neighbours do, against its distance to the other surface, round by round."""
MARK_WEIGHT = 20.0
FARTHEST = 0.004
"""Metres between the registered surfaces beyond which a vertex has no counterpart."""


@dataclass(frozen=True)
class Correspondence:
    """N vertices of the target (N,), and for each the point of the source's surface that it is: vertices and weights
    (N,3); `area`: how much of the target's surface each stands for, 1 on average; `distance` (N,) metres left.
    """

    target: I64
    source: I64
    weights: F64
    area: F64
    distance: F64


def register(source: FaceModel, target: FaceModel) -> Correspondence:
    """Lays the target's mean face onto the source's, and says where each of its visible vertices comes to lie.

    First the target's own shape modes are fitted to landmarks and nearest points (its prior keeps the fit a face), then
    what is left is taken up by displacements that are smooth over the mesh, ever less so (Amberg, Romdhani and Vetter,
    "Optimal Step Nonrigid ICP Algorithms for Surface Registration", CVPR 2007, with displacements for its affine maps).
    """
    mine, other = Face.of(target), Face.of(source)
    surface = Surface(other.mean, other.skin)
    wanted = other.marks(other.mean)
    visible = np.flatnonzero(mine.visible)
    vertices = _fit_shape(mine, target.shape_basis.double().numpy(), surface, wanted, visible)
    laplacian, mark = _laplacian(mine), _mark_matrix(mine)
    for stiffness in STIFFNESS:
        found = surface.closest(vertices[visible], vertex_normals(vertices, mine.skin)[visible])
        trusted = _trusted(found)
        weight = np.zeros(len(vertices))
        weight[visible] = trusted
        aim = np.zeros_like(vertices)
        aim[visible] = (found.point - vertices[visible]) * trusted[:, None]
        # Landmarks are placed by other hands in each model: they lead at first, and let the surfaces decide at last.
        lead = MARK_WEIGHT * min(1.0, stiffness)
        system = diags(weight + 1e-9) + stiffness * laplacian + lead * (mark.T @ mark)
        right = aim + lead * (mark.T @ (wanted - mine.marks(vertices)))
        vertices = vertices + splu(system.tocsc()).solve(right)
    found = surface.closest(vertices[visible], vertex_normals(vertices, mine.skin)[visible])
    good = (found.distance < FARTHEST) & (_trusted(found) > 0)
    area = vertex_areas(mine.mean, mine.skin)[visible][good]
    return Correspondence(
        visible[good], found.vertices[good], found.weights[good], area / area.mean(), found.distance[good]
    )


def _trusted(found: Nearest) -> F64:
    return np.where(found.distance < 0.02, 1.0, 0.0)


def _fit_shape(face: Face, basis: F64, surface: Surface, wanted: F64, visible: I64) -> F64:
    """The mean with its shape modes (S,V,3) and a similarity fitted to landmarks and the nearest points."""
    vertices = face.mean
    motions = small_motions(face.mean)
    columns = np.concatenate([basis, motions])
    marks = np.stack([face.marks(column) for column in columns]).reshape(len(columns), -1)
    mark_aim = (wanted - face.marks(face.mean)).reshape(-1)
    prior = np.diag(np.concatenate([np.full(len(basis), 0.002**2 * 10), np.full(7, 1e-12)]))
    for round_ in range(SHAPE_ROUNDS):
        found = surface.closest(vertices[visible], vertex_normals(vertices, face.skin)[visible])
        near = found.distance < 0.02
        rows = columns[:, visible[near]].reshape(len(columns), -1)
        aim = (found.point[near] - face.mean[visible[near]]).reshape(-1)
        share = 0.0 if round_ == 0 else 10.0 / max(int(near.sum()), 1)
        system = marks @ marks.T + share * (rows @ rows.T) + prior
        solved = np.linalg.solve(system, marks @ mark_aim + share * (rows @ aim))
        vertices = face.mean + np.tensordot(solved, columns, 1)
    return vertices


def small_motions(points: F64) -> F64:
    """Displacements (7,N,3) of `points` under turns about x, y, z, growth, and shifts along x, y, z, to first order."""
    turns = [np.cross(axis, points) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    return np.stack([*turns, points, *shifts])


def vertex_normals(vertices: F64, triangles: I64) -> F64:
    """Unit normals (V,3), weighted by area; 0 where there is no triangle."""
    total = np.zeros_like(vertices)
    normal = _crossed(vertices, triangles)
    for corner in triangles.T:
        np.add.at(total, corner, normal)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-15))


def vertex_areas(vertices: F64, triangles: I64) -> F64:
    """A third of the area of each vertex' triangles (V,), square metres."""
    area = np.linalg.norm(_crossed(vertices, triangles), axis=1) / 6
    return np.asarray(np.bincount(triangles.reshape(-1), np.repeat(area, 3), len(vertices)), np.float64)


def _crossed(vertices: F64, triangles: I64) -> F64:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _laplacian(face: Face) -> csr_matrix:
    """The graph Laplacian of the skin; vertices without triangles stand alone."""
    count = len(face.mean)
    pairs = np.concatenate([face.skin[:, [0, 1]], face.skin[:, [1, 2]], face.skin[:, [2, 0]]])
    once = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count)).tocsr()
    joined = ((once + once.T) > 0).astype(np.float64)
    return diags(np.asarray(joined.sum(1)).reshape(-1)) - joined


def _mark_matrix(face: Face) -> csr_matrix:
    rows = np.repeat(np.arange(len(face.mark_ids)), 3)
    shape = (len(face.mark_ids), len(face.mean))
    return coo_matrix((face.mark_weights.reshape(-1), (rows, face.mark_ids.reshape(-1))), shape=shape).tocsr()
