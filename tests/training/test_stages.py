"""A run's stages and learning rates."""

from __future__ import annotations

from facegpt.training.config import TrainConfig
from facegpt.training.stages import learning_rate, stage_at, stages_of

LENGTHS = {"points": 10, "trunk": 15, "polish": 5, "language": 5, "together": 5}
CONFIG = TrainConfig.of(
    {"output": "run"},
    ["optimiser.warmup=2", *(f"stages.{name}.steps={steps}" for name, steps in LENGTHS.items())],
)


def test_stages_follow_each_other_without_gap() -> None:
    stages = stages_of(CONFIG)
    assert [(stage.name, stage.first, stage.last) for stage in stages] == [
        ("points", 0, 10),
        ("trunk", 10, 25),
        ("polish", 25, 30),
        ("language", 30, 35),
        ("together", 35, 40),
    ]
    assert CONFIG.steps == 40
    assert [stage_at(CONFIG, step).name for step in (9, 10, 25, 30, 35, 40)] == [
        "points",
        "trunk",
        "polish",
        "language",
        "together",
        "together",
    ]


def test_an_empty_stage_is_left_out() -> None:
    silent = [f"stages.{name}.steps=0" for name in ("points", "polish", "language")]
    config = TrainConfig.of({"output": "run"}, [*silent, "stages.trunk.steps=3"])
    assert [stage.name for stage in stages_of(config)] == ["trunk"]


def test_every_stage_warms_up_to_its_peak_and_cools_down() -> None:
    rates = [learning_rate(CONFIG, step) for step in range(40)]
    for stage in stages_of(CONFIG):
        of_stage = rates[stage.first : stage.last]
        assert of_stage[0] == stage.peak / 2 and max(of_stage) == stage.peak == of_stage[2]
        assert of_stage[2:] == sorted(of_stage[2:], reverse=True)
    assert rates[-1] < 0.3 * CONFIG.stages.trunk.learning_rate
