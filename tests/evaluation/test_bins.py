"""Means by bin, and the yaw that puts a face into one."""

from __future__ import annotations

import numpy as np
import torch

from facegpt.evaluation.bins import SIZE_EDGES, YAW_EDGES, by_bin, count_by_bin
from facegpt.evaluation.pose import yaw_from_landmarks
from facegpt.morphable import bundled
from facegpt.rendering import Camera, euler_to_matrix, to_camera
from facegpt.synthetic.faces import render_faces


def test_an_edge_belongs_to_the_bin_above_and_ninety_to_the_last() -> None:
    yaw = np.array([0.0, 29.9, 30.0, 60.0, 90.0])
    errors = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    assert by_bin("e", errors, yaw, YAW_EDGES) == {"e_0_30": 2.0, "e_30_60": 5.0, "e_60_90": 8.0}
    assert count_by_bin("n", yaw, YAW_EDGES) == {"n_0_30": 2.0, "n_30_60": 1.0, "n_60_90": 2.0}


def test_a_bin_without_a_face_is_left_out() -> None:
    sizes = np.array([300.0, 5000.0])
    assert by_bin("px", np.array([1.0, 2.0]), sizes, SIZE_EDGES) == {"px_256_up": 1.5}


def test_yaw_of_a_known_rotation_has_the_sign_of_pose_para() -> None:
    model = bundled()
    angles = torch.tensor([-70.0, -35.0, 0.0, 20.0, 70.0])
    turned = euler_to_matrix(angles, torch.full_like(angles, 12.0), torch.full_like(angles, -8.0))
    local = model.mean.expand(len(angles), -1, -1)
    marks = to_camera(model.landmarks(local, turned), turned, torch.tensor([[0.0, 0.0, -50.0]]).expand(5, 3))
    pixels, _ = Camera(112, 240.0).project(
        marks
    )  # from so far away that the projection is nearly orthographic
    assert (yaw_from_landmarks(model, pixels) - angles).abs().max() < 0.5


def test_yaw_of_rendered_faces_is_good_enough_for_bins() -> None:
    """Other shapes, brows and eyes in action, perspective: still a few degrees off."""
    faces = render_faces(bundled(), 77, 32, 112)
    theta = faces.theta
    turned = torch.rad2deg(torch.atan2(-theta.rotation[:, 0, 2], theta.rotation[:, 0, :2].norm(dim=1)))
    off = (yaw_from_landmarks(bundled(), faces.landmarks2d) - turned).abs()
    assert off.median() < 4 and off.max() < 15
