"""Rotations: axis-angle, matrices, and the Euler angles of AFLW2000-3D and 300W-LP.

All matrices turn column vectors of the right-handed frame x right in the image, y up, z towards the camera,
from the canonical head frame into the camera frame: ``X = R V + t``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def axis_angle_to_matrix(rotation_vector: Tensor) -> Tensor:
    """Computes rotation matrices of axis-angle vectors (Rodrigues' formula), differentiable everywhere, also at zero.

    Args:
        rotation_vector: (..., 3), the axis times the angle in radians.

    Returns:
        (..., 3, 3).
    """
    square = (rotation_vector * rotation_vector).sum(dim=-1, keepdim=True).unsqueeze(-1)
    small = square < 1e-6
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    half = (angle * 0.5).sin() / angle
    sine = torch.where(small, 1 - square / 6, angle.sin() / angle)
    versine = torch.where(small, 0.5 - square / 24, 2 * half * half)
    cross = _cross_matrix(rotation_vector)
    eye = torch.eye(3, dtype=rotation_vector.dtype, device=rotation_vector.device)
    return eye + sine * cross + versine * (cross @ cross)


def matrix_to_axis_angle(rotation: Tensor) -> Tensor:
    """Computes axis-angle vectors of rotation matrices, by way of the best-conditioned of four quaternion formulas.

    Args:
        rotation: (..., 3, 3), orthonormal with determinant 1.

    Returns:
        (..., 3), axis times angle, the angle in [0, pi]. Differentiable but at exactly pi, where the axis's
        sign is arbitrary.
    """
    m = rotation
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    squares = torch.stack(
        (1 + trace, *(1 + 2 * m[..., k, k] - trace for k in range(3))), dim=-1
    )  # four times the squared quaternion components w, x, y, z
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row k is the quaternion times four times its own component k.
    rows = torch.stack(
        [
            torch.stack(row, dim=-1)
            for row in (
                (squares[..., 0], wx, wy, wz),
                (wx, squares[..., 1], xy, xz),
                (wy, xy, squares[..., 2], yz),
                (wz, xz, yz, squares[..., 3]),
            )
        ],
        dim=-2,
    )
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = torch.nn.functional.normalize(rows.gather(-2, best).squeeze(-2), dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    square = (vector * vector).sum(dim=-1, keepdim=True)
    small = square < 1e-8
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    return vector * torch.where(small, 2 / w.clamp(min=0.5), 2 * torch.atan2(sine, w) / sine)


def euler_to_matrix(yaw_deg: Tensor, pitch_deg: Tensor, roll_deg: Tensor) -> Tensor:
    """Computes rotation matrices of Pose_Para angles (AFLW2000-3D, 300W-LP), in degrees.

    ``R = Rx(-pitch) Ry(-yaw) Rz(-roll)`` with the usual right-handed elementary rotations, which is the
    product ``R_x(pitch) R_y(yaw) R_z(roll)`` of 3DDFA's ``RotationMatrix.m``, whose elementary matrices are
    the transposes. Signs, in the picture as one sees it: yaw > 0 turns the face to the image's left, pitch >
    0 turns it up, roll > 0 tilts the head clockwise (its top towards the image's right).

    Args:
        yaw_deg: (...) degrees; pitch_deg and roll_deg likewise.

    Returns:
        (..., 3, 3). Pose_Para itself lists pitch, yaw, roll, in radians.
    """
    y, p, r = (torch.deg2rad(angle) for angle in (yaw_deg, pitch_deg, roll_deg))
    cy, sy, cp, sp, cr, sr = y.cos(), y.sin(), p.cos(), p.sin(), r.cos(), r.sin()
    rows = (
        (cy * cr, cy * sr, -sy),
        (sp * sy * cr - cp * sr, sp * sy * sr + cp * cr, sp * cy),
        (cp * sy * cr + sp * sr, cp * sy * sr - sp * cr, cp * cy),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_euler(rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Computes Pose_Para angles of rotation matrices: the inverse of ``euler_to_matrix``.

    Args:
        rotation: (..., 3, 3).

    Returns:
        yaw in [-90, 90], pitch and roll in [-180, 180], each (...) in degrees. At a full profile (|yaw| = 90)
        pitch and roll turn about the same axis: roll is then given as 0. A head turned past the profile comes
        out with a pitch near 180. The matrix is the truth, these are for reading.
    """
    flat = torch.hypot(rotation[..., 0, 0], rotation[..., 0, 1])
    yaw = torch.atan2(-rotation[..., 0, 2], flat)
    locked = flat < 1e-6
    pitch = torch.where(
        locked,
        torch.atan2(-rotation[..., 2, 1], rotation[..., 1, 1]),
        torch.atan2(rotation[..., 1, 2], rotation[..., 2, 2]),
    )
    roll = torch.where(locked, torch.zeros_like(flat), torch.atan2(rotation[..., 0, 1], rotation[..., 0, 0]))
    return torch.rad2deg(yaw), torch.rad2deg(pitch), torch.rad2deg(roll)


def _cross_matrix(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(dim=-1)
    zero = torch.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
