"""From costs to seconds, memory, bytes and money, in numbers that can be done by hand."""

from __future__ import annotations

import pytest
from measurements import measured

from facegpt.memory import GIB
from pipeline.config import RunConfig, load_config
from pipeline.execution.plan import Plan
from pipeline.planning.estimate import LISTING, NO_GPU, NOT_MEASURED, estimate, output_bytes
from pipeline.planning.machines import Machine
from pipeline.planning.measured import StepCost
from pipeline.planning.sample import Listed

QUICK = Listed(1000, 0.0, True, ())
CONFIG = RunConfig()


def test_a_joint_run_is_its_start_its_shards_and_the_wait_for_the_last_worker() -> None:
    one = estimate(measured(), QUICK, 1600, CONFIG)
    assert (one.shards, one.shard_images, one.faces) == (16, 100, 800)
    each = 100 * 0.1 + 50 * 0.2 + 1.0
    assert one.start_seconds == pytest.approx(6 + 2 + 1)
    assert one.seconds == pytest.approx(9 + each * (8 + 0.25))
    assert one.bottleneck in ("detect", "annotate")
    assert one.images_per_second == pytest.approx(1600 / (one.seconds or 0))
    assert one.cost is None


def test_the_start_counts_once_however_long_the_run_is() -> None:
    small, large = (estimate(measured(), QUICK, images, CONFIG).seconds or 0 for images in (16_000, 160_000))
    assert large - 9 == pytest.approx(10 * (small - 9), rel=0.05)


def test_one_shard_is_done_by_one_worker() -> None:
    one = estimate(measured(), QUICK, 10, CONFIG)
    assert (one.shards, one.shard_images) == (1, 10)
    assert one.seconds == pytest.approx(9 + 10 * 0.1 + 5 * 0.2 + 1)


def test_a_slow_listing_is_waited_for() -> None:
    one = estimate(measured(), Listed(1000, 1000.0, False, ()), 16_000, CONFIG)
    assert one.bottleneck == LISTING
    assert (one.seconds or 0) > 16_000
    quick = estimate(measured(), Listed(1000, 0.5, True, ()), 1600, CONFIG)
    assert (quick.start_seconds, quick.bottleneck != LISTING) == (pytest.approx(9.8), True)


def test_pools_take_as_long_as_the_slowest_of_them() -> None:
    pools = Plan(8, 1, 1, 1.0, "cuda", 1)
    steps = {
        "detect": StepCost(per_image=0.1),
        "annotate": StepCost(per_face=0.01),
        "commit": StepCost(per_shard=0.5),
    }
    one = estimate(measured(plan=pools, gpus=1, cpus=10, steps=steps), QUICK, 72_000, CONFIG)
    assert (one.shards, one.shard_images, one.bottleneck) == (72, 1000, "detect")
    assert one.seconds == pytest.approx(9 + 100 * (9 + 7 / 16) + 5 + 0.5)


def test_more_cores_make_more_workers_and_faster_ones_shorter_work() -> None:
    here = estimate(measured(), QUICK, 16_000, CONFIG).seconds or 0
    big = Machine(name="big", cpus=20, memory_gib=64, price_per_hour=3.6)
    other = estimate(measured(), QUICK, 16_000, CONFIG, big)
    assert other.plan is not None and other.plan.annotate == 20
    assert other.seconds == pytest.approx(9 + (here - 9) / 10, rel=0.1)
    assert other.cost == pytest.approx((other.seconds or 0) / 1000)
    fast = estimate(measured(), QUICK, 16_000, CONFIG, big.model_copy(update={"core_speed": 2.0})).seconds
    assert (fast or 0) - 9 == pytest.approx(((other.seconds or 0) - 9) / 2)


def test_a_gpu_is_planned_for_only_where_its_rate_is_known() -> None:
    gpu = Machine(name="gpu", cpus=8, gpus=1, price_per_hour=1.0)
    blind = estimate(measured(), QUICK, 16_000, CONFIG, gpu)
    assert (blind.seconds, blind.cost, blind.note) == (None, None, NOT_MEASURED)
    known = estimate(measured(), QUICK, 16_000, CONFIG, gpu.model_copy(update={"faces_per_second": 2.0}))
    assert known.bottleneck == "annotate"
    assert known.seconds == pytest.approx(8000 / 2, rel=0.05)
    on_gpu = measured(plan=Plan(7, 1, 1, 0.45, "cuda", 1), gpus=1)
    assert estimate(on_gpu, QUICK, 16_000, CONFIG, Machine(name="c", cpus=8)).note == NOT_MEASURED
    cuda = load_config(None, ["model.device=cuda"])
    assert estimate(on_gpu, QUICK, 100, cuda, Machine(name="c", cpus=8)).note == NO_GPU


def test_memory_is_that_of_all_processes_and_grows_with_the_faces_of_a_shard() -> None:
    one = estimate(measured(), QUICK, 640, CONFIG)
    assert one.shard_images == 40
    assert one.memory_bytes == GIB // 4 + 2 * (GIB + GIB // 2)
    large = estimate(measured(), QUICK, 16_000, CONFIG)
    assert large.memory_bytes == (one.memory_bytes or 0) + 2 * (500 - 40) * 1_000_000
    assert (estimate(measured(engine="ray"), QUICK, 640, CONFIG).memory_bytes or 0) > one.memory_bytes
    small = Machine(name="small", cpus=2, memory_gib=1)
    assert not estimate(measured(), QUICK, 640, CONFIG, small).fits
    assert estimate(measured(), QUICK, 640, CONFIG, Machine(name="s", cpus=2)).fits


def test_bytes_are_those_of_images_faces_meshes_and_shards() -> None:
    total, meshes = output_bytes(measured(), 1000, 10)
    assert meshes == 500 * 100_000
    assert total == meshes + 1000 * 100 + 500 * 2000 + 10 * 5000
