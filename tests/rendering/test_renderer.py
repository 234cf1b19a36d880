"""Whole renderings: what is in the picture, and the gradients against finite differences."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from facegpt import morphable
from facegpt.rendering import Camera, render, shade

SIZE = 64


def test_draws_the_head_where_the_camera_puts_it(toy_model: Any, toy_theta: Any) -> None:
    result = render(toy_model, toy_theta, SIZE)
    assert result.image.shape == (2, 3, SIZE, SIZE)
    assert result.mask.shape == (2, SIZE, SIZE)
    assert result.landmarks2d.shape == (2, 68, 2)
    assert result.vertices_camera.shape == (2, *toy_model.mean.shape)
    pixels, _ = Camera(SIZE).project(result.vertices_camera)
    for index in range(2):
        rows, columns = result.mask[index].nonzero().unbind(1)
        for axis, found in ((0, columns), (1, rows)):
            low, high = pixels[index, :, axis].min(), pixels[index, :, axis].max()
            assert low <= found.min() <= low + 2
            assert high - 2 <= found.max() <= high
    assert (result.image[~result.mask.unsqueeze(1).expand_as(result.image)] == 0).all()
    torch.testing.assert_close(result.landmarks2d, pixels[:, toy_model.landmark_vertices])


def test_pixels_have_the_radiance_of_the_surface(toy_model: Any, toy_theta: Any) -> None:
    result = render(
        toy_model, toy_theta, SIZE, albedo=torch.full((2, *toy_model.mean.shape), 0.4), with_normals=True
    )
    assert result.normals is not None
    normals = result.normals.permute(0, 2, 3, 1).reshape(2, -1, 3)
    exact = shade(torch.full_like(normals, 0.4), normals, toy_theta.lighting)
    exact = exact.view(2, SIZE, SIZE, 3).permute(0, 3, 1, 2) * result.mask.unsqueeze(1)
    torch.testing.assert_close(result.image, exact, rtol=0, atol=0.01)
    length = result.normals.norm(dim=1)
    torch.testing.assert_close(length, result.mask.to(length.dtype))


def test_theta_renders_the_same_at_every_size(toy_model: Any, toy_theta: Any) -> None:
    small = render(toy_model, toy_theta, 32)
    large = render(toy_model, toy_theta, 96)
    middle = large.image[:, :, 1::3, 1::3]
    both = small.mask & large.mask[:, 1::3, 1::3]
    assert both.sum() > 0.95 * small.mask.sum()
    difference = (small.image - middle).abs().amax(dim=1)[both]
    assert difference.max() < 1e-9  # the centres of the small picture's pixels are centres of the large one's


def test_a_longer_focal_length_shows_a_larger_head(toy_model: Any, toy_theta: Any) -> None:
    usual = render(toy_model, toy_theta, SIZE).mask.sum()
    assert render(toy_model, toy_theta, SIZE, focal_multiplier=5.4).mask.sum() > 1.3 * usual


def test_over_fills_the_background_alone(toy_model: Any, toy_theta: Any) -> None:
    result = render(toy_model, toy_theta, SIZE)
    picture = result.over(torch.full_like(result.image, 9))
    face = result.mask.unsqueeze(1).expand_as(picture)
    assert (picture[~face] == 9).all()
    assert torch.equal(picture[face], result.image[face])


@pytest.mark.parametrize(
    "block", ["shape", "expression", "albedo", "lighting", "rotation_vector", "translation"]
)
def test_gradients_are_those_of_finite_differences(toy_model: Any, toy_theta: Any, block: str) -> None:
    """Along three directions, on the pixels whose visible triangle does not change with the step."""
    generator = torch.Generator().manual_seed(11)
    step = 1e-6
    cotangent = torch.randn(2, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
    for _ in range(3):
        value = getattr(toy_theta, block)
        direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        ahead = render(toy_model, replace(toy_theta, **{block: value + step * direction}), SIZE)
        behind = render(toy_model, replace(toy_theta, **{block: value - step * direction}), SIZE)
        tracked = value.clone().requires_grad_()
        here = render(toy_model, replace(toy_theta, **{block: tracked}), SIZE)
        triangle = here.fragments.triangle
        steady = here.mask & (triangle == ahead.fragments.triangle) & (triangle == behind.fragments.triangle)
        assert steady.sum() > 0.99 * here.mask.sum()
        weights = cotangent * steady.unsqueeze(1)
        expected = ((ahead.image - behind.image) * weights).sum() / (2 * step)
        (gradient,) = torch.autograd.grad((here.image * weights).sum(), tracked)
        torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-6)


def test_landmark_and_depth_gradients_reach_pose_and_shape(toy_model: Any, toy_theta: Any) -> None:
    tracked = replace(
        toy_theta, **{f.name: getattr(toy_theta, f.name).clone().requires_grad_() for f in fields(toy_theta)}
    )

    def total(theta: Any) -> Tensor:
        result = render(toy_model, theta, SIZE)
        return result.landmarks2d.square().sum() + 1e3 * result.fragments.depth.sum()

    total(tracked).backward()
    for name in ("shape", "rotation_vector", "translation"):
        gradient = getattr(tracked, name).grad
        shifted = []
        for step in (1e-7, -1e-7):
            value = getattr(toy_theta, name) + step * torch.sign(gradient)
            result = render(toy_model, replace(toy_theta, **{name: value}), SIZE)
            shifted.append(result)
        same = shifted[0].fragments.triangle == shifted[1].fragments.triangle
        assert same.all()
        values = [r.landmarks2d.square().sum() + 1e3 * r.fragments.depth.sum() for r in shifted]
        torch.testing.assert_close((values[0] - values[1]) / 2e-7, gradient.abs().sum(), rtol=1e-4, atol=1e-3)


def test_renders_the_bundled_face_model() -> None:
    model = morphable.bundled()
    lighting = torch.zeros(2, 9, 3)
    lighting[:, 0], lighting[:, 2] = 2.5, 0.5
    theta = morphable.Theta(
        shape=torch.zeros(2, model.n_shape),
        expression=torch.zeros(2, model.n_expression),
        albedo=torch.zeros(2, model.n_albedo),
        lighting=lighting.flatten(1),
        rotation_vector=torch.tensor([[0.0, 0, 0], [0, 0.6, 0]]),
        translation=torch.tensor([[0.0, 0, -0.9]]).expand(2, -1),
    )
    result = render(model, theta, 112)
    assert 0.3 < result.mask.float().mean() < 0.9
    assert result.mask[:, 40:90, 40:72].all()  # no hole in the middle of the face
    front, turned = result.landmarks2d
    assert abs(float(front[30, 0]) - 55.5) < 2
    assert turned[30, 0] > front[30, 0] + 5  # a turn about +y looks towards the image's right
