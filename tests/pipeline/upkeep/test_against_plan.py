"""A run against its plan, in numbers that can be done by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pipeline.upkeep.against_plan import compare
from pipeline.upkeep.status import RunStatus

PLAN: dict[str, Any] = {
    "images": 1000,
    "seconds": 110.0,
    "start_seconds": 10.0,
    "seconds_per_image": {"detect": 0.1, "annotate": 0.1},
}


def status(done: int, last: str | None) -> RunStatus:
    return RunStatus(1000, done, 10, done // 100, 0, 0, Counter(), 0, last)


def call(images: int, start: str, end: str, detect: float, annotate: float) -> dict[str, Any]:
    return {
        "images": images,
        "seconds": 1.0,
        "started": f"2026-01-01T00:{start}+00:00",
        "finished": f"2026-01-01T00:{end}+00:00",
        "costs": {"seconds": {"detect": detect, "annotate": annotate, "detect.find": detect}},
    }


def record(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"created": "2026-01-01T00:00:00+00:00", "invocations": list(calls)}


def test_a_run_that_took_longer_names_the_step() -> None:
    line = compare(PLAN, record(call(1000, "00:00", "02:45", 100, 210)), status(1000, None))
    assert line == (
        "1,000 images in 110 s, 9.09 images/s; took 165 s for 1,000, 6.06 images/s: 1.50 times the plan; "
        "annotate 2.10 times"
    )


def test_a_run_in_two_calls_is_one_and_near_steps_are_not_named() -> None:
    calls = (call(400, "00:00", "00:50", 40, 41), call(600, "05:00", "06:00", 60, 60), {"images": 0})
    calls += ({**call(9, "10:00", "20:00", 60, 60), "input": "retry: 9 failed images"},)
    line = compare(PLAN, record(*calls), status(1000, None))
    assert line.endswith("took 110 s for 1,000, 9.09 images/s: 1.00 times the plan")


@pytest.mark.parametrize(
    ("done", "last", "end"),
    [
        (0, None, "nothing to compare yet"),
        (500, "2026-01-01T00:01:00+00:00", "took 60 s for 500 so far, 8.33 images/s: 1.00 times the plan"),
    ],
)
def test_a_run_that_goes_on_is_compared_by_its_commits(done: int, last: str | None, end: str) -> None:
    assert compare(PLAN, record(), status(done, last)).endswith(end)
