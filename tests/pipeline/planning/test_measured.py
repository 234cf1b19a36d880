"""The arithmetic of costs: fits, micro-batches, other cores."""

from __future__ import annotations

import pytest

from pipeline.planning.measured import StepCost, batches, fit


def test_a_fit_tells_batches_from_faces() -> None:
    points = [(b, f, 0.18 * b + 0.04 * f) for b, f in [(1.0, 15.0), (1.0, 31.0), (2.0, 47.0), (2.0, 40.0)]]
    assert fit(points) == pytest.approx((0.18, 0.04))


def test_what_the_points_do_not_tell_goes_to_the_second() -> None:
    assert fit([(1.0, 30.0, 3.0), (1.0, 30.0, 5.0), (1.0, 30.0, 4.0)]) == pytest.approx((0.0, 12 / 90))
    # A larger shard that took less time would make a face cost less than nothing.
    assert fit([(1.0, 10.0, 5.0), (1.0, 20.0, 4.0), (1.0, 30.0, 3.0)]) == pytest.approx((0.0, 12 / 60))
    assert fit([(1.0, 0.0, 5.0), (1.0, 0.0, 3.0)]) == (4.0, 0.0)


def test_a_fit_keeps_the_sum() -> None:
    points = [(1.0, 10.0, 1.1), (1.0, 20.0, 1.6), (2.0, 40.0, 3.7), (2.0, 50.0, 3.6)]
    a, b = fit(points)
    assert a > 0 and b > 0
    assert sum(a * x + b * y for x, y, _ in points) == pytest.approx(sum(s for *_, s in points))


def test_the_last_micro_batch_is_half_full_on_average() -> None:
    assert [batches(faces, 32) for faces in (0, 0.25, 8, 32, 320)] == [0, 0.25, 1, 1.5, 10.5]


def test_waiting_takes_as_long_on_faster_cores() -> None:
    cost = StepCost(per_image=0.1, per_face=0.2, per_shard=1.0, cpu_share=0.5)
    fast = cost.at_speed(2.0)
    assert (fast.per_image, fast.per_shard) == pytest.approx((0.075, 0.75))
    assert fast.cpu_share == pytest.approx(1 / 3)
    assert StepCost(per_image=0.1).at_speed(4.0).per_image == pytest.approx(0.025)
    assert cost.seconds(10, 5, 32) == pytest.approx(1 + 1 + 1)
