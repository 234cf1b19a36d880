"""Spherical harmonics, normals and the sRGB curve against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import torch
import trimesh

from facegpt.rendering import linear_to_srgb, sh_basis, shade, srgb_to_linear, vertex_normals


def sphere_points(count: int) -> torch.Tensor:
    """Points spread evenly over the unit sphere (Fibonacci's lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z * z)
    return torch.tensor(np.stack((ring * np.cos(angle), ring * np.sin(angle), z), axis=1))


def test_the_basis_is_orthonormal_on_the_sphere() -> None:
    basis = sh_basis(sphere_points(20000))
    gram = 4 * math.pi * basis.T @ basis / len(basis)
    torch.testing.assert_close(gram, torch.eye(9).double(), rtol=0, atol=1e-4)


def test_the_bands_stand_in_the_order_of_the_contract() -> None:
    axes = sh_basis(torch.eye(3, dtype=torch.float64))
    assert axes[0].nonzero().squeeze(1).tolist() == [0, 3, 6, 8]  # x: 1, x, 3z^2 - 1, x^2 - y^2
    assert axes[1].nonzero().squeeze(1).tolist() == [0, 1, 6, 8]  # y
    assert axes[2].nonzero().squeeze(1).tolist() == [0, 2, 6]  # z
    diagonal = sh_basis(torch.tensor([[1.0, 1, 0], [0, 1, 1], [1, 0, 1]]) / math.sqrt(2))
    assert [int(row[[4, 5, 7]].argmax()) for row in diagonal] == [0, 1, 2]  # xy, yz, xz


def test_light_from_the_right_lights_the_right_in_its_colour() -> None:
    lighting = torch.zeros(1, 9, 3)
    lighting[:, 0] = 2.0
    lighting[:, 3, 0] = 1.0  # red, from +x
    normals = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0]]])
    right, left = shade(torch.full((1, 2, 3), 0.5), normals, lighting.view(1, 27))[0]
    assert right[0] > right[1] > left[0]
    torch.testing.assert_close(right[1:], left[1:])
    torch.testing.assert_close(right[0], torch.tensor(0.5 * (2 * 0.282095 + 0.488603)))


def test_normals_of_a_sphere_point_outwards() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    vertices = torch.tensor(sphere.vertices.copy())
    normals = vertex_normals(vertices.expand(2, -1, -1), torch.tensor(sphere.faces.copy()))
    assert (normals * vertices).sum(-1).min() > 0.999
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(2, len(vertices)).double())


def test_a_millimetre_mesh_has_unit_normals_in_float32() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=1e-3)
    normals = vertex_normals(
        torch.tensor(sphere.vertices.copy()).float()[None], torch.tensor(sphere.faces.copy())
    )
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(1, len(sphere.vertices)))


def test_a_vertex_without_triangles_has_no_normal_and_finite_gradients() -> None:
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]]], requires_grad=True)
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2]]))
    assert normals[0, 3].tolist() == [0, 0, 0]
    assert normals[0, 0].tolist() == [0, 0, 1]
    normals.sum().backward()
    assert vertices.grad is not None
    assert vertices.grad.isfinite().all()


def test_srgb_is_the_standard_curve_and_its_own_inverse() -> None:
    linear = torch.tensor([0.0, 0.0031308, 0.18, 0.5, 1.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.040450, 0.461356, 0.735357, 1.0], dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(linear), expected, rtol=0, atol=2e-6)
    ramp = torch.linspace(0, 1, 999, dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(ramp)), ramp, rtol=0, atol=1e-7)


def test_srgb_has_finite_gradients_and_clamps() -> None:
    for curve in (linear_to_srgb, srgb_to_linear):
        values = torch.tensor([-0.5, 0.0, 1e-9, 0.2, 1.0, 1.5], requires_grad=True)
        result = curve(values)
        assert result[0] == 0
        torch.testing.assert_close(result[-1], torch.ones(()))
        result.sum().backward()
        assert values.grad is not None
        assert values.grad.isfinite().all()
