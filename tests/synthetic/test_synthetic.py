"""Synthetic faces: the same for the same seed, true to their labels, different for different seeds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import wait_until_gone

from facegpt.morphable import bundled
from facegpt.morphable.point_subset import LossPoints
from facegpt.rendering import Camera, sh_basis, to_camera
from facegpt.synthetic.faces import render_faces
from facegpt.synthetic.sampling import directional_light, sample_expression
from facegpt.training.config import TrainConfig
from facegpt.training.data import shard_cache
from facegpt.training.data.pool import ShardPool
from facegpt.training.data.shard_cache import ShardStore


def test_a_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    first, again, other = (render_faces(bundled(), seed, 3, 112) for seed in (5, 5, 6))
    assert np.array_equal(first.images, again.images)
    assert torch.equal(first.theta.flat(), again.theta.flat())
    assert not np.array_equal(first.images, other.images)


def test_pictures_are_pictures() -> None:
    faces = render_faces(bundled(), 0, 24, 112)
    assert faces.images.shape == (24, 112, 112, 3) and faces.images.dtype == np.uint8
    assert faces.images.reshape(24, -1).std(1).min() > 2
    assert faces.covered.min() >= 0 and faces.covered.max() <= 1
    inside = ((faces.landmarks2d > 0) & (faces.landmarks2d < 112)).all(-1).mean()
    assert inside > 0.9


def test_landmarks_match_theta_up_to_perspective() -> None:
    model = bundled()
    faces = render_faces(model, 1, 16, 112)
    theta = faces.theta
    points = model.landmarks(model.vertices(theta.shape, theta.expression), theta.rotation)
    pixels, _ = Camera(112).project(to_camera(points, theta.rotation, theta.translation))
    assert (pixels - torch.from_numpy(faces.landmarks2d)).norm(dim=-1).mean() < 2.5


def test_loss_points_agree_with_the_face_model() -> None:
    model = bundled()
    faces = render_faces(model, 2, 4, 112)
    theta, points = faces.theta, LossPoints(bundled())
    own = points.points(theta.shape, theta.expression)
    landmarks = points.landmarks(own, points.jaw_choice(own, theta.rotation))
    expected = model.landmarks(model.vertices(theta.shape, theta.expression), theta.rotation)
    assert torch.allclose(landmarks, expected, atol=1e-5)


def test_expressions_stay_in_range_and_use_every_action() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_expression(rng, bundled().expression_names) for _ in range(1500)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn.max(0) > 0.05).all()


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 0, 0), (0.5, -0.5, 0.7)])
def test_a_directional_light_is_the_clamped_cosine(direction: tuple[float, float, float]) -> None:
    light = torch.from_numpy(directional_light(np.array(direction, np.float32)))
    unit = torch.nn.functional.normalize(torch.tensor(direction, dtype=torch.float32), dim=0)
    normals = torch.nn.functional.normalize(
        torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    # Nine bands hold 99 % of the clamped cosine's energy; pointwise they are off by up to 0.1 (Basri & Jacobs 2003).
    assert ((sh_basis(normals) @ light) - (normals @ unit).clamp(min=0)).abs().max() < 0.11


def test_pool_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_cache, "CHUNK", 8)  # no more faces than a shard keeps
    silent = [f"stages.{name}.steps=0" for name in ("trunk", "polish", "language")]
    sizes = ["rendering.shard_faces=8", "data.batch=4", "data.pool=2", "data.reuse=1.0", "start.crop_size=32"]
    config = TrainConfig.of({"output": "run"}, ["stages.points.steps=6", *silent, *sizes])
    store = ShardStore(tmp_path, config.rendering.shard_faces, config.start.crop_size)
    for shard in config.shards:
        store.make(bundled(), shard)
    assert config.steps_per_round == 2

    def fingerprints(start: int, count: int) -> list[float]:
        pool = ShardPool(config, store, bundled(), lambda: True)
        batches = pool.batches(start)
        return [float(next(batches).images.sum()) for _ in range(count)]

    whole = fingerprints(0, 6)
    assert fingerprints(3, 3) == whole[3:]
    assert len(set(whole)) == 6


def test_a_dead_render_process_is_an_error_not_a_wait(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has died"):
        ShardStore(tmp_path).load(bundled(), 7, failed=lambda: True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output": "x", "trunk_stepz": 3}, "nearest one is 'trunk_steps'"),
        ({"output": "x", "batch": "many"}, "'data.batch': input should be a valid integer, not 'many'"),
        ({"output": "x", "weights": {"shap": 1}}, "nearest one is 'weights.shape'"),
        ({"batch": 3}, "no 'output'"),
    ],
)
def test_training_config_errors_name_the_way_out(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig.of(values)


PARENT = """
import multiprocessing, sys, time
from facegpt.training.config.sections import RenderingConfig
from facegpt.training.data.shard_cache import render_shards

if __name__ == "__main__":
    arguments = (RenderingConfig(folder=sys.argv[1]), 112, range(99))
    child = multiprocessing.get_context("spawn").Process(target=render_shards, args=arguments)
    child.start()
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_a_render_process_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    faces = tmp_path / "faces"
    with subprocess.Popen(
        [sys.executable, str(script), str(faces)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        end = time.monotonic() + 120
        while not faces.is_dir():
            assert time.monotonic() < end, "it does not begin to render"
            time.sleep(0.1)
        parent.kill()
        wait_until_gone([child], seconds=60)
