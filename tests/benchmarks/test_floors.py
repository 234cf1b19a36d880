"""Floors of speed: every ratio has one, with a reason, and below it the check fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.throughput.check import FLOORS, PHOTOS, RATIOS, FloorsError, judge, read_floors, report
from benchmarks.throughput.first import IMPORTS, ONE_ROW, Waits
from benchmarks.throughput.memory import Memory
from benchmarks.throughput.results import Results
from benchmarks.throughput.runs import LOOP, OURS, POOL, Table, Timed


def found() -> Results:
    def timed(seconds: float, start: float) -> list[Timed]:
        return [Timed(seconds, start, 90)] * 3

    runs = {OURS: timed(14, 4), LOOP: timed(22, 2), POOL: timed(12, 3)}
    return Results(
        stages={
            "stage": {"stage": [10.0], "bare": [9.5]},
            "batch": {"32": [1.0], "1": [4.0]},
            "detector": {"default": [2.0], "dlib": [8.0]},
        },
        runs={PHOTOS: Table(PHOTOS, 2.0, runs)},
        waits=Waits({IMPORTS: [2.0], ONE_ROW: [4.0]}),
        memory={OURS: Memory(PHOTOS, 1792.0, {}, {})},
    )


def test_every_ratio_has_a_floor_with_a_reason_and_the_other_way_round() -> None:
    floors = read_floors(FLOORS)
    assert floors.keys() == RATIOS.keys()
    assert all(0 < least < 20 for least in floors.values())


def test_a_ratio_below_its_floor_fails() -> None:
    floors = dict.fromkeys(RATIOS, 0.9)
    verdicts = {one.name: one for one in judge(found(), floors)}
    assert {name: round(one.ratio.median, 3) for name, one in verdicts.items() if one.ratio} == {
        "run over loop": 2.0,
        "run over process pool": 0.9,
        "run over loop, starts included": 1.571,
        "stage over bare model": 0.95,
        "imports over first row": 0.5,
        "batch of 32 over single crops": 4.0,
        "detector over dlib": 4.0,
        "room in memory": 2.0,
    }
    assert [name for name, one in verdicts.items() if not one.passes] == ["imports over first row"]
    assert "| imports over first row | 0.50 | 0.90 | FAIL |" in report(list(verdicts.values()))


def test_what_could_not_be_measured_does_not_pass() -> None:
    hidden = found()
    hidden.runs = {PHOTOS: Table(PHOTOS, 2.0, {name: [Timed(5.0, 4.9, 1)] for name in (OURS, LOOP, POOL)})}
    failed = [one for one in judge(hidden, read_floors(FLOORS)) if not one.passes]
    assert {one.name for one in failed} == {"run over loop", "run over process pool"}
    assert "lost in the noise of the start" in report(failed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run over loop": None}, "`least` and `why`"),
        ({"run over loop": {"least": 0, "why": "none"}}, "positive number"),
        ({"run over loop": {"least": True, "why": "none"}}, "positive number"),
        ({"run over loop": {"least": 1.0, "why": ""}}, "and a reason"),
        ({"run over the hills": {"least": 1.0, "why": "none"}}, "run over the hills"),
    ],
)
def test_a_floors_file_that_is_wrong_is_refused(
    change: dict[str, object], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "floors.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(FLOORS.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(FloorsError, match=words):
        read_floors(file)
