"""A run's stages and learning rates."""

from __future__ import annotations

from facegpt.training.config import TrainConfig
from facegpt.training.stages import learning_rate, stage_at, stages_of

CONFIG = TrainConfig(
    output="",
    points_steps=10,
    trunk_steps=15,
    polish_steps=5,
    language_steps=5,
    together_steps=5,
    warmup=2,
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
    config = TrainConfig(output="", points_steps=0, trunk_steps=3, polish_steps=0, language_steps=0)
    assert [stage.name for stage in stages_of(config)] == ["trunk"]


def test_every_stage_warms_up_to_its_peak_and_cools_down() -> None:
    rates = [learning_rate(CONFIG, step) for step in range(40)]
    for stage in stages_of(CONFIG):
        own = rates[stage.first : stage.last]
        assert own[0] == stage.peak / 2 and max(own) == stage.peak == own[2]
        assert own[2:] == sorted(own[2:], reverse=True)
    assert rates[-1] < 0.3 * CONFIG.learning_rate
