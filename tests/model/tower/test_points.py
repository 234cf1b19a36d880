"""What the small tower measures: points off heat maps, colours at points, a face model fitted to points."""

from __future__ import annotations

import math

import pytest
import torch

from facegpt.model.tower.config import ConvVisionConfig
from facegpt.model.tower.point_fit import PointFit, scaled_rotation
from facegpt.model.tower.point_maps import PointMaps, colours_at
from facegpt.model.tower.trunk import FaceTrunk
from facegpt.morphable import FaceModel, Theta, bundled
from facegpt.rendering import euler_to_matrix, matrix_to_axis_angle
from facegpt.training.loss.point_loss import anchor_points
from facegpt.training.start.anchors import set_anchors


@pytest.fixture(scope="module")
def face_model() -> FaceModel:
    return bundled()


@pytest.fixture(scope="module")
def fit(face_model: FaceModel) -> PointFit:
    trunk = FaceTrunk(ConvVisionConfig())
    set_anchors(trunk, face_model)
    return trunk.eval().fit


def theta_of(model: FaceModel, shape: torch.Tensor, yaw: list[float]) -> Theta:
    batch = len(shape)
    angles = torch.tensor([[math.radians(y), 0.1, -0.1] for y in yaw])
    return Theta(
        shape,
        torch.zeros(batch, model.n_expression),
        torch.zeros(batch, model.n_albedo),
        torch.zeros(batch, 27),
        matrix_to_axis_angle(euler_to_matrix(*angles.unbind(1))),
        torch.tensor([0.004, 0.036, -0.95]).repeat(batch, 1),
    )


def test_a_point_is_the_centre_of_mass_of_its_heat_map() -> None:
    maps = PointMaps([1], 1, 1)
    with torch.no_grad():
        for layer, weight in ((maps.lateral[0], 1.0), (maps.maps, 40.0)):
            layer.weight.fill_(weight)
            layer.bias.zero_()
        picture = torch.zeros(2, 1, 8, 8)
        picture[0, 0, 1, 6] = 1
        picture[1, 0, 7, [0, 1]] = 1
        points, spread = maps([picture])
    assert torch.allclose(points[0, 0], torch.tensor([6.5, -1.5]) / 8 + torch.tensor([-0.5, 0.5]), atol=1e-4)
    assert torch.allclose(points[1, 0], torch.tensor([1.0, -7.5]) / 8 + torch.tensor([-0.5, 0.5]), atol=1e-4)
    assert spread[0, 0] < 0.01 and abs(float(spread[1, 0]) - 0.5 / 8) < 1e-3


def test_colours_are_read_where_the_points_lie() -> None:
    image = torch.zeros(1, 3, 56, 56)
    image[0, 0, :28, 28:] = 1
    image[0, 2, 28:, :28] = 1
    corners = torch.tensor([[[0.25, 0.25], [-0.25, -0.25], [0.25, -0.25]]])
    assert torch.allclose(
        colours_at(image, corners)[0], torch.eye(3)[[0, 2, 1]] * torch.tensor([[1.0], [1], [0]])
    )


def test_a_scaled_rotation_is_found_exactly() -> None:
    rotation = euler_to_matrix(torch.tensor([0.7, -0.3]), torch.tensor([0.2, 0.4]), torch.tensor([-0.5, 0.1]))
    scale, found = scaled_rotation(torch.tensor([4.0, 7.0])[:, None, None] * rotation[:, :2])
    assert torch.allclose(scale, torch.tensor([4.0, 7.0]), atol=1e-4)
    assert torch.allclose(found, rotation, atol=1e-5)


def test_the_fit_recovers_shape_and_pose_from_exact_points(face_model: FaceModel, fit: PointFit) -> None:
    shape = torch.randn(6, face_model.n_shape, generator=torch.Generator().manual_seed(0))
    theta = theta_of(face_model, shape, [-55, -25, 0, 10, 30, 60])
    points = anchor_points(fit, theta, torch.ones(6))
    with torch.no_grad():
        found = fit(points, torch.full((6, 192), 1e-3))
    own, n = found[:, : face_model.n_shape], face_model.n_shape + face_model.n_expression
    surface = fit.basis[: face_model.n_shape].flatten(1)
    error = ((own - shape) @ surface).square().sum() / (shape @ surface).square().sum()
    assert float(error) < 0.25, "three quarters of the shape's variance can be seen"
    rows = found[:, n : n + 6].unflatten(1, (2, 3))
    turn = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1) @ theta.rotation.mT
    assert float(torch.rad2deg(torch.acos((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)).max()) < 8


def test_points_that_the_net_is_unsure_of_weigh_little(face_model: FaceModel, fit: PointFit) -> None:
    shape = torch.randn(2, face_model.n_shape, generator=torch.Generator().manual_seed(1))
    points = anchor_points(fit, theta_of(face_model, shape, [0, 20]), torch.ones(2))
    spread = torch.full((2, 192), 0.005)
    spoiled, unsure = points.clone(), spread.clone()
    spoiled[:, :20] += 0.2
    unsure[:, :20] = 0.3
    with torch.no_grad():
        good, warned, fooled = fit(points, spread), fit(spoiled, unsure), fit(spoiled, spread)
    n = face_model.n_shape
    assert (warned - good)[:, :n].norm() < 0.2 * (fooled - good)[:, :n].norm()


def test_the_fit_has_gradients_for_its_priors_and_survives_nonsense(fit: PointFit) -> None:
    features = fit(torch.zeros(2, 192, 2), torch.full((2, 192), 0.4))
    assert torch.isfinite(features).all() and features.shape == (2, fit.n_features)
    features.square().sum().backward()
    for parameter in (fit.log_weight, fit.log_precision, fit.prior_mean):
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
        parameter.grad = None
