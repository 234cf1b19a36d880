"""Micro-batches by memory: what is measured, what follows from it, and that the CPU is left out of it."""

from __future__ import annotations

import pytest

from facegpt.model.batching import MOST, ON_CPU, batch_for, bytes_per_crop, crops_that_fit


@pytest.mark.parametrize(
    ("each", "budget", "count"),
    [
        (1, 1000, 512),
        (10, 1000, 64),
        (10, 640, 64),
        (10, 639, 32),
        (2000, 1000, 1),
        (1, -5, 1),
        (1, 10**9, MOST),
    ],
)
def test_as_many_as_the_budget_holds_and_never_none(each: float, budget: float, count: int) -> None:
    assert crops_that_fit(each, budget) == count


def test_weights_and_other_fixed_memory_are_no_crops_cost() -> None:
    assert bytes_per_crop(lambda count: 5_000 + 70 * count) == 70
    assert bytes_per_crop(lambda count: 5_000) == 1


def test_a_gpus_whole_memory_decides_less_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        total_memory = 10_000

    ran: list[int] = []
    cuda = "facegpt.model.batching.torch.cuda."
    monkeypatch.setattr(cuda + "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(cuda + "max_memory_allocated", lambda device: 3_000 + 100 * ran[-1])
    monkeypatch.setattr(cuda + "memory_allocated", lambda device: 3_000)
    monkeypatch.setattr(cuda + "get_device_properties", lambda device: Device)
    # 0.8 of 10,000 less 3,000 are 5,000 bytes, for 50 crops of 100; half of the memory leaves room for 20.
    assert batch_for("cuda", ran.append, 0.8) == 32
    assert batch_for("cuda:1", ran.append, 0.5) == 16
    assert set(ran) == {1, 9}


def test_nothing_is_tried_on_the_cpu() -> None:
    assert batch_for("cpu", lambda count: pytest.fail("a batch was tried"), 0.8) == ON_CPU
