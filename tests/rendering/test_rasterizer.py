"""The rasteriser against a slow, exact one, and the promises of its docstring."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from facegpt.rendering import Camera, interpolate, rasterize, rasterizer


def reference(screen: Tensor, triangles: Tensor, size: int) -> Tensor:
    """The visible triangle (H, W) of one picture, -1 where there is none: a loop in exact arithmetic.

    Covered are the pixel centres inside, and those on a left edge or on a horizontal top edge.
    """
    points = [[Fraction(value) for value in vertex] for vertex in screen.tolist()]
    winner = torch.full((size, size), -1)
    best = [[Fraction(0)] * size for _ in range(size)]
    for index, (a, b, c) in enumerate(triangles.tolist()):
        edges = ((points[b], points[c]), (points[c], points[a]), (points[a], points[b]))
        for v in range(size):
            for u in range(size):
                values = []
                for p, q in edges:
                    dx, dy = q[0] - p[0], q[1] - p[1]
                    value = dy * (u - p[0]) - dx * (v - p[1])
                    # Counter-clockwise with y up: a left edge goes down the picture, a top edge goes left.
                    owns = dy > 0 or (dy == 0 and dx < 0)
                    if value < 0 or (value == 0 and not owns):
                        break
                    values.append(value)
                if len(values) < 3 or sum(values) == 0:
                    continue
                depths = (points[a][2], points[b][2], points[c][2])
                inverse = sum((e / z for e, z in zip(values, depths, strict=True)), Fraction(0)) / sum(values)
                if inverse > best[v][u]:
                    best[v][u], winner[v, u] = inverse, index
    return winner


def random_scene(seed: int, *, snap: bool) -> tuple[Tensor, Tensor]:
    """Forty triangles of all sizes, larger than the picture too, one vertex each in float32."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(40, 1, 2, generator=generator) * 16
    corners = centres + torch.randn(40, 3, 2, generator=generator) * torch.logspace(-0.5, 1.5, 40).view(
        -1, 1, 1
    )
    if snap:
        corners = (corners * 2).round() / 2
    depth = 0.5 + torch.rand(40, 3, 1, generator=generator)
    return torch.cat((corners, depth), dim=-1).view(-1, 3), torch.arange(120).view(-1, 3)


@pytest.mark.parametrize("snap", [False, True], ids=["anywhere", "on half pixels"])
@pytest.mark.parametrize("seed", [0, 1])
def test_sees_what_the_exact_reference_sees(seed: int, snap: bool) -> None:
    screen, triangles = random_scene(seed, snap=snap)
    expected = reference(screen, triangles, 16)
    assert (expected >= 0).float().mean() > 0.3
    assert torch.equal(rasterize(screen[None], triangles, 16).triangle[0], expected)


@pytest.mark.parametrize("jitter", [0.0, 0.35], ids=["edges through pixel centres", "jittered"])
def test_a_tessellated_square_covers_each_of_its_pixels_exactly_once(jitter: float) -> None:
    cells = 9
    generator = torch.Generator().manual_seed(0)
    grid = torch.stack(
        torch.meshgrid(torch.arange(cells + 1), torch.arange(cells + 1), indexing="xy"), -1
    ).double()
    grid[1:-1, 1:-1] += jitter * (2 * torch.rand(cells - 1, cells - 1, 2, generator=generator) - 1)
    flat = grid.view(-1, 2) * 2 + 3
    screen = torch.cat((flat, torch.ones(len(flat), 1)), dim=1)
    triangles = []
    for row in range(cells):
        for column in range(cells):
            a = row * (cells + 1) + column
            b, c, d = a + 1, a + cells + 2, a + cells + 1
            triangles += [(a, d, c), (a, c, b)] if (row + column) % 2 else [(a, d, b), (b, d, c)]
    times = torch.zeros(24, 24)
    for triangle in torch.tensor(triangles):
        times += rasterize(screen[None], triangle[None], 24).mask[0]
    expected = torch.zeros(24, 24)
    expected[3:21, 3:21] = 1  # the square from 3 to 21: its left and top edges are in, the others are not
    assert torch.equal(times, expected)


def test_back_faces_are_culled() -> None:
    screen = torch.tensor([[[1.0, 1, 1], [1, 9, 1], [9, 1, 1]]])
    assert rasterize(screen, torch.tensor([[0, 1, 2]]), 12).mask.sum() > 20
    assert not rasterize(screen, torch.tensor([[0, 2, 1]]), 12).mask.any()


def test_one_triangle_fills_the_screen() -> None:
    screen = torch.tensor([[[-900.0, -900, 1], [-900, 2000, 2], [2000, -900, 3]]])
    fragments = rasterize(screen, torch.tensor([[0, 1, 2]]), 112)
    assert fragments.mask.all()
    assert torch.allclose(fragments.barycentric.sum(-1), torch.ones(1))


def test_a_triangle_with_a_vertex_behind_the_camera_is_dropped_alone() -> None:
    camera_frame = torch.tensor([[[-0.1, 0.1, -1], [-0.1, -0.1, -1], [0.1, 0.1, -1], [0.1, -0.1, 0.5]]])
    screen = Camera(32).screen(camera_frame)
    triangles = torch.tensor([[1, 2, 0], [1, 3, 2]])
    seen = rasterize(screen, triangles, 32).triangle
    assert set(seen.unique().tolist()) == {-1, 0}


def test_equal_depths_go_to_the_lower_index() -> None:
    screen = torch.tensor([[[0.0, 0, 1], [0, 8, 1], [8, 0, 1]]])
    triangles = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    assert set(rasterize(screen, triangles, 8).triangle.unique().tolist()) == {-1, 0}


def test_interpolation_is_perspective_correct() -> None:
    camera = Camera(48)
    points = torch.tensor([[[-0.1, -0.1, -0.7], [0.1, -0.08, -1.3], [0.0, 0.12, -0.9]]], dtype=torch.float64)
    fragments = rasterize(camera.screen(points), torch.tensor([[0, 1, 2]]), 48)
    seen = interpolate(fragments, points)
    v, u = fragments.mask[0].nonzero().unbind(1)
    pixels, depth = camera.project(seen[None])
    assert len(seen) > 200
    torch.testing.assert_close(pixels[0], torch.stack((u, v), 1).double())
    torch.testing.assert_close(depth[0], fragments.depth_values)
    torch.testing.assert_close(fragments.depth[0, v, u], depth[0])


def test_interpolates_attributes_shared_by_the_batch() -> None:
    screen, triangles = random_scene(0, snap=False)
    pair = torch.stack((screen, screen + torch.tensor([0.7, 0.3, 0])))
    attributes = torch.rand(len(screen), 2, generator=torch.Generator().manual_seed(1))
    fragments = rasterize(pair, triangles, 16)
    torch.testing.assert_close(
        interpolate(fragments, attributes), interpolate(fragments, attributes.expand(2, -1, -1))
    )


def test_a_picture_does_not_depend_on_its_batch_nor_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [random_scene(seed, snap=False) for seed in range(3)]
    screen, triangles = torch.stack([scene for scene, _ in scenes]), scenes[0][1]
    whole = rasterize(screen, triangles, 16)
    for index in range(3):
        alone = rasterize(screen[index : index + 1], triangles, 16)
        assert torch.equal(alone.triangle[0], whole.triangle[index])
        assert torch.equal(alone.barycentric[0], whole.barycentric[index])
    monkeypatch.setattr(rasterizer, "_CHUNK", 50)
    assert torch.equal(rasterize(screen, triangles, 16).triangle, whole.triangle)


def test_nothing_in_view_is_an_empty_picture_with_gradients() -> None:
    screen = torch.tensor([[[50.0, 50, 1], [50, 60, 1], [60, 50, 1]]], requires_grad=True)
    fragments = rasterize(screen, torch.tensor([[0, 1, 2]]), 16)
    assert not fragments.mask.any()
    assert fragments.triangle.unique().tolist() == [-1]
    fragments.barycentric.sum().backward()
    assert torch.equal(screen.grad, torch.zeros_like(screen))


def test_slivers_give_finite_gradients() -> None:
    generator = torch.Generator().manual_seed(5)
    start = torch.rand(4000, 1, 2, generator=generator) * 30
    along = torch.rand(4000, 1, 2, generator=generator) * 60 - 30
    corners = start + along * torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1)
    corners += torch.rand(4000, 3, 2, generator=generator) * 1e-4
    screen = torch.cat((corners, torch.ones(4000, 3, 1)), dim=-1).view(1, -1, 3).requires_grad_()
    fragments = rasterize(screen, torch.arange(12000).view(-1, 3), 32)
    fragments.weights.square().sum().backward()
    assert fragments.mask.any()
    assert screen.grad is not None
    assert screen.grad.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_sees_what_the_cpu_sees() -> None:
    screen, triangles = random_scene(0, snap=False)
    here = rasterize(screen[None], triangles, 64)
    there = rasterize(screen[None].cuda(), triangles.cuda(), 64)
    assert torch.equal(here.triangle, there.triangle.cpu())
    torch.testing.assert_close(here.barycentric, there.barycentric.cpu())


@pytest.mark.parametrize(
    ("screen", "triangles", "size"),
    [((3, 3), (1, 3), 8), ((1, 3, 2), (1, 3), 8), ((1, 3, 3), (1, 4), 8), ((1, 3, 3), (1, 3), 0)],
)
def test_wrong_shapes_are_refused(screen: tuple[int, ...], triangles: tuple[int, ...], size: int) -> None:
    with pytest.raises(ValueError, match=r"expected|at least one pixel"):
        rasterize(torch.zeros(screen), torch.zeros(triangles, dtype=torch.int64), size)
