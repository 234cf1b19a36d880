"""The neck below a head model: closed against it, below it, behind its chin."""

from __future__ import annotations

import numpy as np
import torch

from facegpt.morphable import Theta, bundled
from facegpt.morphable.face_model import FaceModel
from facegpt.rendering import to_camera
from facegpt.synthetic.heads import draw_heads
from facegpt.synthetic.neck import Neck, neck_of
from facegpt.synthetic.sampling import sample_face, stack


def neck() -> Neck:
    found = neck_of(bundled())
    assert found is not None
    return found


def upright(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean faces (B,V,3) and their rotation, camera frame."""
    rotation = torch.eye(3).expand(count, 3, 3)
    return to_camera(bundled().mean.expand(count, -1, 3), rotation, torch.zeros(count, 3)), rotation


def test_it_begins_at_the_open_end_below_the_chin() -> None:
    end = bundled().mean[neck().loop]
    chin = bundled().landmarks(bundled().mean[None], torch.eye(3)[None])[0, 8]
    assert end[:, 2].mean() < chin[2]
    assert abs(float(end[:, 0].mean())) < 0.005
    assert end[:, 1].mean() < bundled().mean[:, 1].mean()


def test_head_and_neck_share_every_edge_of_the_open_end_once_each_way() -> None:
    triangles = torch.cat([bundled().triangles, neck().triangles]).numpy()
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 1
    known = {(int(a), int(b)) for a, b in directed}
    loop = neck().loop.tolist()
    for a, b in zip(loop, [*loop[1:], loop[0]], strict=True):
        assert (a, b) in known and (b, a) in known


def test_it_reaches_down_by_a_hand_and_leaves_the_head_as_it_is() -> None:
    points, rotation = upright()
    longer = neck().joined(points, rotation, np.random.default_rng(0))
    assert torch.equal(longer[:, : points.shape[1]], points)
    below = longer[:, -len(neck().loop) :, 1].mean(1) - points[:, neck().loop, 1].mean(1)
    assert (below < -0.1).all() and (below > -0.2).all()


def test_what_faces_the_throat_is_under_the_chin() -> None:
    under, mean = neck().under[:, 0], bundled().mean
    assert under.min() >= 0 and under.max() <= 1
    assert under[(mean[:, 1] < -0.12) & (mean[:, 2] > -0.03) & (mean[:, 0].abs() < 0.01)].mean() > 0.5
    assert under[mean[:, 1] > -0.08].max() == 0


def test_values_are_carried_down_each_ring_times_its_own_factor() -> None:
    values = torch.rand(2, bundled().n_vertices, 3, generator=torch.Generator().manual_seed(0))
    end, count = values[:, neck().loop], len(neck().loop)
    times = torch.tensor([[0.5, 1.0], [0.25, 0.75]])
    carried, dimmed = neck().extended(values), neck().extended(values, times)
    assert torch.equal(carried[:, -count:], end)
    assert torch.equal(carried[:, -2 * count : -count], end)
    assert torch.equal(dimmed[:, : bundled().n_vertices], values)
    assert torch.equal(dimmed[0, -2 * count : -count], end[0] * 0.5)
    assert torch.equal(dimmed[1, -count:], end[1] * 0.75)


def test_neck_lies_below_the_head_in_the_picture() -> None:
    rng = np.random.default_rng(3)
    samples = [sample_face(rng, bundled(), ("turns",)) for _ in range(6)]
    theta: Theta = stack(samples)
    with torch.no_grad():
        heads = draw_heads(bundled(), theta, samples, np.random.default_rng(4), 96)
    rows = np.arange(96)[:, None]
    for head, throat in zip(heads.head, heads.neck, strict=True):
        assert (head * throat).max() == 0
        if throat.sum() > 20:
            assert (rows * throat).sum() / throat.sum() > (rows * head).sum() / head.sum()
    assert (heads.neck.sum((1, 2)) > 50).any()


def test_a_closed_surface_gets_none() -> None:
    model: FaceModel = bundled()
    closed = type("Closed", (), {})()
    flipped = model.triangles.flip(1)
    closed.triangles = torch.cat([model.triangles, flipped])
    closed.mean, closed.regions, closed.n_vertices = model.mean, model.regions, model.n_vertices
    closed.landmarks = model.landmarks
    assert neck_of(closed) is None
