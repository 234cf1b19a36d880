"""The points that the tower is taught to find lie where the pictures show them."""

from __future__ import annotations

import subprocess
import sys

import torch

from facegpt.model.tower.config import ConvVisionConfig
from facegpt.model.tower.trunk import FaceTrunk
from facegpt.morphable import bundled
from facegpt.morphable.face_area import Skin
from facegpt.synthetic.faces import render_faces
from facegpt.training.loss.point_loss import anchor_points, points_loss
from facegpt.training.start.anchors import choose_anchors, laid_flat, set_anchors


def test_anchors_start_with_the_landmarks_and_are_where_the_renderer_put_them() -> None:
    model = bundled()
    trunk = FaceTrunk(ConvVisionConfig())
    set_anchors(trunk, model)
    faces = render_faces(model, seed=5, count=8, size=112)
    points = anchor_points(trunk.fit, faces.theta, torch.from_numpy(faces.perspective))
    pixels = points * torch.tensor([112.0, -112.0]) + 55.5
    assert torch.allclose(pixels[:, :51], torch.from_numpy(faces.landmarks2d[:, 17:]), atol=0.02)


def test_anchors_are_distinct_points_of_the_face() -> None:
    model = bundled()
    places = choose_anchors(model, 192) @ model.mean
    apart = torch.cdist(places, places) + torch.eye(192)
    assert places.shape == (192, 3) and float(apart[51:].min()) > 0.003
    assert float(places[:, 2].min()) > -0.03


def test_the_loss_of_points_is_least_at_the_truth_and_punishes_false_confidence() -> None:
    true = torch.rand(4, 10, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    spread = torch.full((4, 10), 0.02)
    right, wrong = points_loss(true, spread, true), points_loss(true + 0.1, spread, true)
    assert right < wrong
    assert points_loss(true + 0.1, torch.full((4, 10), 0.1), true) < wrong
    outside = true + 2
    assert torch.isfinite(points_loss(true, spread, torch.cat([true[:3], outside[3:]])))


def test_a_face_laid_flat_is_the_same_whatever_its_pose() -> None:
    """Eyes and mouth of rendered faces, laid flat along their true points, come to lie where the mean face's do."""
    model = bundled()
    trunk = FaceTrunk(ConvVisionConfig())
    set_anchors(trunk, model)
    faces = render_faces(model, seed=5, count=8, size=112)
    points = anchor_points(trunk.fit, faces.theta, torch.from_numpy(faces.perspective))
    # A picture whose colours say where in it they are.
    line = (torch.arange(112) + 0.5) / 112 - 0.5
    v, u = torch.meshgrid(-line, line, indexing="ij")
    flat = trunk.unwrap(torch.stack([u, v]).expand(8, -1, -1, -1), points, torch.zeros(8, 192, 1))
    cells = laid_flat(trunk.fit.mean, trunk.fit.mean)
    low, high = cells.amin(0), cells.amax(0)
    x, y = ((cells - low) / (high - low) * 79).round().long().unbind(1)
    inside = (points.abs() < 0.49).all(-1)
    away = (flat[:, :2, 79 - y, x].mT - points).norm(dim=-1) * 112
    assert float(away[inside].mean()) < 1.5 and float(away[:, :51][inside[:, :51]].mean()) < 1.5


def test_cells_know_the_albedo_that_lies_there() -> None:
    """A face laid flat shows lips where the cells' mean is that of lips, and is its own mirror image."""
    model = bundled()
    trunk = FaceTrunk(ConvVisionConfig(albedo_side=40))
    set_anchors(trunk, model)
    fit = trunk.albedo
    assert fit is not None
    skin = fit.skin.view(40, 40)
    assert 600 < int((skin > 0.5).sum()) < 1600
    torch.testing.assert_close(fit.normals.norm(dim=1), torch.ones(1600))
    mean = fit.mean.view(40, 40)
    assert ((mean - mean.flip(1)).abs() * skin).mean() < 0.005
    cheeks = Skin(model).cheeks
    known = (model.albedo_mean[cheeks] @ Skin(model).luminance).mean()
    cells = laid_flat(model.mean[cheeks], trunk.fit.mean)
    whole = laid_flat(trunk.fit.mean, trunk.fit.mean)
    x, y = ((cells - whole.amin(0)) / (whole.amax(0) - whole.amin(0)) * 39).round().long().unbind(1)
    assert abs(float(mean[39 - y, x].mean() / known) - 1) < 0.05
    assert (
        float((fit.basis.view(80, 40, 40)[:, 39 - y, x].mean(1) / known - fit.lightness).abs().max()) < 0.05
    )


FRUGAL = """
import resource
from pathlib import Path
from facegpt.morphable import bundled
from facegpt.training.start.anchors import choose_anchors

model = bundled()
choose_anchors(model, 80)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300 * 2**20,) * 2)
print(tuple(choose_anchors(model, 192).shape))
"""


def test_choosing_takes_no_more_than_it_gives() -> None:
    """A row that is a view of an identity matrix keeps all of it: 25 GB for 192 points."""
    ended = subprocess.run([sys.executable, "-c", FRUGAL], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "(192, 5746)\n"), ended.stderr
