"""Costs follow a shard through its steps, in one process or in several."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from pipeline.execution.worker import Step, Worker
from pipeline.shards.costs import Costs, StepClock, costs_of, timed


@dataclass
class Thing:
    """What stands for a shard between two steps."""

    costs: Costs = field(default_factory=Costs)


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def first(value: object) -> Thing:
    thing = Thing()
    with timed(thing.costs.seconds, "first.part"):
        compute(0.02)
    thing.costs.peak_bytes["child"] = 7
    thing.costs.cpu_seconds["first"] = 5.0
    return thing


def second(value: Thing) -> Thing:
    compute(0.01)
    return Thing(Costs(micro_batch=32))


def check(costs: Costs) -> None:
    assert costs.seconds["first"] >= costs.seconds["first.part"] >= 0.02
    assert costs.seconds["second"] >= 0.01
    assert costs.cpu_seconds["first"] >= 5.02, "what its child used is added"
    assert costs.spans["first"][0] <= costs.spans["first"][1] <= costs.spans["second"][0] + 0.01
    assert set(costs.workers) == {"first", "second"}
    assert costs.peak_bytes["second"] > 10e6 and costs.peak_bytes["child"] == 7
    assert costs.micro_batch == 32


def test_each_step_of_a_worker_adds_its_own() -> None:
    check(Worker([Step("first", lambda: first), Step("second", lambda: second)]).run("s", 1).costs)


def test_costs_travel_with_the_rows_between_workers() -> None:
    row = pa.table({"shard": ["s"], "error": [""], "refused": [False], "payload": [pickle.dumps(1)]})
    between = Worker([Step("first", lambda: first)])(row)
    result = Worker([Step("second", lambda: second)])(between).to_pylist()[0]
    check(pickle.loads(result["payload"]).costs)


def test_sums_add_up_and_peaks_stay_the_highest() -> None:
    total = Costs()
    for peak in (3, 9, 5):
        total.add(Costs({"detect": 1.5}, {"detect": 1.0}, peak_bytes={"detect": peak}, micro_batch=32))
    assert total.as_json() == {
        "seconds": {"detect": 4.5},
        "cpu_seconds": {"detect": 3.0},
        "peak_bytes": {"detect": 9},
        "micro_batch": 32,
    }


def test_a_block_that_throws_is_timed_and_a_value_without_costs_has_none() -> None:
    seconds: dict[str, float] = {}
    with pytest.raises(ValueError, match="no"), timed(seconds, "a"):
        raise ValueError("no")
    assert seconds["a"] >= 0
    assert costs_of(3) is None
    costs = Costs()
    StepClock().stop("a", costs)
    assert costs_of(Thing(costs)) is costs
