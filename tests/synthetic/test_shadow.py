"""The shadow of a head on itself: dark where head or body are in the way of the light, and nowhere brighter."""

from __future__ import annotations

import torch

from facegpt.morphable import bundled
from facegpt.rendering import euler_to_matrix
from facegpt.synthetic.shadow import SelfShadow, fibonacci_sphere, self_shadow

AMBIENT = torch.zeros(1, 9, 3)
AMBIENT[:, 0] = 1.0


def light_from(x: float, y: float, z: float) -> torch.Tensor:
    """Lighting (1,27) that is strongest from a direction of the camera's frame."""
    lighting = AMBIENT.clone()
    lighting[:, 1], lighting[:, 2], lighting[:, 3] = y, z, x
    return lighting.flatten(1)


def nearest(x: float, y: float) -> int:
    """The foremost vertex of the mean face at (x,y) metres."""
    mean = bundled().mean
    near = (mean[:, :2] - torch.tensor([x, y])).norm(dim=-1) < 0.004
    return int(torch.where(near, mean[:, 2], -torch.inf).argmax())


def frontal(lighting: torch.Tensor) -> torch.Tensor:
    return self_shadow(bundled())(lighting, torch.eye(3)[None])[0]


def test_what_is_left_is_a_share() -> None:
    for lighting in (AMBIENT.flatten(1), light_from(0, 1, 0), light_from(-1, 0, 0.3)):
        left = frontal(lighting)
        assert left.shape == (bundled().n_vertices,)
        assert (left > 0).all() and (left <= 1).all()


def test_under_the_chin_and_in_the_eye_sockets_it_is_darker_than_on_the_forehead() -> None:
    left, places = frontal(light_from(0, 1, 0.5)), bundled().mean
    forehead, socket = left[nearest(0, 0.045)], left[nearest(0.018, 0.002)]
    under_chin = left[(places[:, 0].abs() < 0.01) & (places[:, 1] < -0.12) & (places[:, 2] > -0.03)]
    assert forehead > 0.9
    assert socket < forehead - 0.1
    assert len(under_chin) and under_chin.mean() < 0.8 * forehead


def test_light_from_one_side_casts_the_shadow_of_the_nose_on_the_other() -> None:
    cheeks = [nearest(x, -0.04) for x in (-0.025, 0.025)]
    from_left, from_right = (
        frontal(light_from(-1.0, 0, 0.6))[cheeks],
        frontal(light_from(1.0, 0, 0.6))[cheeks],
    )
    assert from_left[0] > from_right[0] + 0.05
    assert from_right[1] > from_left[1] + 0.05


def test_light_from_the_front_reaches_the_teeth_of_an_open_mouth() -> None:
    """The mean face's mouth is closed: what it hides is not dark for good."""
    teeth = bundled().regions == bundled().region_names.index("teeth")
    front = teeth & (bundled().mean[:, 2] > 0.015)
    assert front.any()
    assert frontal(light_from(0, 0, 1.0))[front].mean() > 0.6
    assert frontal(light_from(0, 0, -1.0))[front].mean() < frontal(light_from(0, 0, 1.0))[front].mean()


def test_the_light_stays_where_it_is_when_the_head_turns() -> None:
    shadow = self_shadow(bundled())
    turn = euler_to_matrix(torch.tensor([180.0]), torch.zeros(1), torch.zeros(1))
    behind = shadow(light_from(0, 0, -1.0), turn)[0]
    front = shadow(light_from(0, 0, 1.0), torch.eye(3)[None])[0]
    assert (behind - front).abs().mean() < 0.02


def test_an_open_surface_keeps_all_of_its_light() -> None:
    directions = fibonacci_sphere(32)
    share = torch.rand(5, 32, generator=torch.Generator().manual_seed(1))
    left = SelfShadow(directions, share, share)(light_from(0, 1, 0), torch.eye(3)[None])
    torch.testing.assert_close(left, torch.ones(1, 5))


def test_directions_are_evenly_spread() -> None:
    directions = fibonacci_sphere(160)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(160))
    assert directions.mean(0).norm() < 0.01
    torch.testing.assert_close(directions.T @ directions * 3 / 160, torch.eye(3), atol=0.01, rtol=0)
