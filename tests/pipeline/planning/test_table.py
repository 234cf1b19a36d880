"""A plan fits a terminal, and says what is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from measurements import measured

from pipeline.config import RunConfig
from pipeline.planning.estimate import estimate
from pipeline.planning.machines import Machine, chosen
from pipeline.planning.make import RunPlan
from pipeline.planning.sample import Listed
from pipeline.planning.table import duration, hours, lines, size


def plan(images: int, machines: list[Machine]) -> RunPlan:
    listed = Listed(images, 1.0, True, ())
    others = tuple(estimate(measured(), listed, images, RunConfig(), one) for one in machines)
    return RunPlan(listed, measured(), estimate(measured(), listed, images, RunConfig()), others)


@pytest.mark.parametrize("images", [1, 2000, 1_000_000, 900_000_000])
def test_every_line_has_eighty_columns_at_most(images: int) -> None:
    machines, noted = chosen(["all"])
    said = list(lines(plan(images, machines), noted))
    assert [line for line in said if len(line) > 80] == []
    assert any("model not measured" in line for line in said)
    assert said[-1].startswith("prices: ")


def test_what_does_not_fit_is_marked() -> None:
    said = "\n".join(lines(plan(2000, [Machine(name="tiny", cpus=2, memory_gib=0.5, price_per_hour=1)])))
    assert "tiny" in said and "GiB !" in said and "more memory than the machine has" in said
    assert "find 75 %, decode 25 %" in said


def test_workers_that_wait_are_told_of() -> None:
    waiting = {step: replace(cost, cpu_share=0.4) for step, cost in measured().steps.items()}
    made = plan(2000, [])
    assert not any(line.startswith("note") for line in lines(made))
    said = list(lines(replace(made, measured=measured(steps=waiting))))
    assert [line for line in said if len(line) > 80] == []
    assert any(line.startswith("note      the workers computed 40 % of the time") for line in said)


def test_sizes_and_times_are_for_people() -> None:
    assert [duration(s) for s in (9.6, 250, 7200, 400_000)] == ["10 s", "4 min 10 s", "2.0 h", "4.6 days"]
    assert [hours(s) for s in (36, 36_000, 36e6)] == ["0.01", "10", "10,000"]
    assert [size(n) for n in (5e5, 2.5e9)] == ["0.5 MB", "2.5 GB"]
