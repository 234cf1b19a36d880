"""Non-rigid registration of two models' mean faces: corresponding points of the two surfaces."""

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
"""Weights of smoothness (neighbours move alike) against distances to the other surface, round by round."""
MARK_WEIGHT = 20.0
FARTHEST = 0.004
"""Metres between the registered surfaces beyond which a vertex has no counterpart."""


@dataclass(frozen=True)
class Correspondence:
    """The correspondence of N vertices of the target (N,) to points of the source's surface: vertices and weights
    (N,3); `area` (N,) of the target's surface around each vertex, 1 on average; `distance` (N,) that remains, metres.
    """

    target: I64
    source: I64
    weights: F64
    area: F64
    distance: F64


def register(source: FaceModel, target: FaceModel) -> Correspondence:
    """Registers the target's mean face to the source's, and finds the point that each of its visible vertices meets.

    First the target's own shape modes are fitted to landmarks and nearest points (its prior keeps the fit a face), then
    what is left is taken up by displacements that are smooth over the mesh, ever less so (Amberg, Romdhani and Vetter,
    "Optimal Step Nonrigid ICP Algorithms for Surface Registration", CVPR 2007, with displacements for its affine maps).
    """
    target_face, source_face = Face.of(target), Face.of(source)
    surface = Surface(source_face.mean, source_face.skin)
    source_marks = source_face.marks(source_face.mean)
    visible = np.flatnonzero(target_face.visible)
    vertices = _fit_shape(target_face, target.shape_basis.double().numpy(), surface, source_marks, visible)
    laplacian, mark = _laplacian(target_face), _mark_matrix(target_face)
    for stiffness in STIFFNESS:
        nearest = surface.closest(vertices[visible], vertex_normals(vertices, target_face.skin)[visible])
        trusted = _trusted(nearest)
        weight = np.zeros(len(vertices))
        weight[visible] = trusted
        displacement = np.zeros_like(vertices)
        displacement[visible] = (nearest.point - vertices[visible]) * trusted[:, None]
        # Annotators of the models place landmarks differently: they lead at first, the surfaces decide at last.
        lead = MARK_WEIGHT * min(1.0, stiffness)
        system = diags(weight + 1e-9) + stiffness * laplacian + lead * (mark.T @ mark)
        forces = displacement + lead * (mark.T @ (source_marks - target_face.marks(vertices)))
        vertices = vertices + splu(system.tocsc()).solve(forces)
    nearest = surface.closest(vertices[visible], vertex_normals(vertices, target_face.skin)[visible])
    matched = (nearest.distance < FARTHEST) & (_trusted(nearest) > 0)
    area = vertex_areas(target_face.mean, target_face.skin)[visible][matched]
    return Correspondence(
        visible[matched],
        nearest.vertices[matched],
        nearest.weights[matched],
        area / area.mean(),
        nearest.distance[matched],
    )


def _trusted(nearest: Nearest) -> F64:
    """Weighs pairs (N,): 1 within 2 cm, 0 beyond."""
    return np.where(nearest.distance < 0.02, 1.0, 0.0)


def _fit_shape(face: Face, basis: F64, surface: Surface, target_marks: F64, visible: I64) -> F64:
    """Fits shape modes (S,V,3) and a small motion of the mean face to landmarks and nearest points: vertices (V,3)."""
    vertices = face.mean
    motions = small_motions(face.mean)
    columns = np.concatenate([basis, motions])
    marks = np.stack([face.marks(column) for column in columns]).reshape(len(columns), -1)
    mark_offsets = (target_marks - face.marks(face.mean)).reshape(-1)
    prior = np.diag(np.concatenate([np.full(len(basis), 0.002**2 * 10), np.full(7, 1e-12)]))
    for round_ in range(SHAPE_ROUNDS):
        nearest = surface.closest(vertices[visible], vertex_normals(vertices, face.skin)[visible])
        near = nearest.distance < 0.02
        rows = columns[:, visible[near]].reshape(len(columns), -1)
        offsets = (nearest.point[near] - face.mean[visible[near]]).reshape(-1)
        share = 0.0 if round_ == 0 else 10.0 / max(int(near.sum()), 1)
        system = marks @ marks.T + share * (rows @ rows.T) + prior
        solved = np.linalg.solve(system, marks @ mark_offsets + share * (rows @ offsets))
        vertices = face.mean + np.tensordot(solved, columns, 1)
    return vertices


def small_motions(points: F64) -> F64:
    """Computes displacements (7,N,3) of `points` under turns about x, y, z, growth, and shifts along x, y, z, to first
    order.
    """
    turns = [np.cross(axis, points) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    return np.stack([*turns, points, *shifts])


def vertex_normals(vertices: F64, triangles: I64) -> F64:
    """Computes unit normals (V,3), weighted by area; 0 where there is no triangle."""
    total = np.zeros_like(vertices)
    normal = _crossed(vertices, triangles)
    for corner in triangles.T:
        np.add.at(total, corner, normal)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-15))


def vertex_areas(vertices: F64, triangles: I64) -> F64:
    """Computes a third of the area of each vertex' triangles (V,), square metres."""
    area = np.linalg.norm(_crossed(vertices, triangles), axis=1) / 6
    return np.asarray(np.bincount(triangles.reshape(-1), np.repeat(area, 3), len(vertices)), np.float64)


def _crossed(vertices: F64, triangles: I64) -> F64:
    """Computes cross products (F,3) of the edges: normals of twice the area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _laplacian(face: Face) -> csr_matrix:
    """Builds the graph Laplacian of the skin; vertices without triangles stand alone."""
    count = len(face.mean)
    pairs = np.concatenate([face.skin[:, [0, 1]], face.skin[:, [1, 2]], face.skin[:, [2, 0]]])
    once = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count)).tocsr()
    joined = ((once + once.T) > 0).astype(np.float64)
    return diags(np.asarray(joined.sum(1)).reshape(-1)) - joined


def _mark_matrix(face: Face) -> csr_matrix:
    """Builds the sparse matrix (68,V) from vertices to landmarks."""
    rows = np.repeat(np.arange(len(face.mark_ids)), 3)
    shape = (len(face.mark_ids), len(face.mean))
    return coo_matrix((face.mark_weights.reshape(-1), (rows, face.mark_ids.reshape(-1))), shape=shape).tocsr()
