"""The arithmetic of the benchmark of speed: ratios, goals, tables, and the corpus that all contenders see."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from processes import wait_until_gone

from benchmarks.scale.processes import Member
from benchmarks.throughput.__main__ import joined
from benchmarks.throughput.command import CommandError, environment, run, run_reporting
from benchmarks.throughput.corpus import make_corpus, photos_in
from benchmarks.throughput.first import IMPORTS, ONE_ROW, Waits
from benchmarks.throughput.measures import STEPS, against, goals, steps_of
from benchmarks.throughput.memory import DETECT, DRIVER, OTHER, WORKER, Memory, role_of, summarize
from benchmarks.throughput.ours import Listener
from benchmarks.throughput.results import Results
from benchmarks.throughput.runs import LOOP, OURS, POOL, Table, Timed
from benchmarks.throughput.scale import Scale, along
from benchmarks.throughput.spread import ratios, spread
from benchmarks.throughput.table import PARTS, blocks
from facegpt.photo.config import DecodeConfig
from facegpt.photo.decode import decode
from pipeline.shards.costs import Costs
from pipeline.shards.shard import ShardOutcome

CALLS = ("prefill", "prefill and words", "model")
CHILD = """
import json, pathlib, sys, time
pathlib.Path(sys.argv[sys.argv.index("--report") + 1]).write_text(json.dumps({"ready": time.monotonic(), "faces": 3}))
"""


def timed(*pairs: tuple[float, float]) -> list[Timed]:
    return [Timed(seconds, start, 90) for seconds, start in pairs]


def results() -> Results:
    """Three repeats, in the second of which the machine was twice as slow."""
    runs = {
        OURS: timed((14, 4), (28, 8), (15, 4)),
        LOOP: timed((22, 2), (44, 4), (24, 2)),
        POOL: timed((12, 3), (24, 6), (11, 3)),
    }
    steps = {name: [1.0, 2.0] for name in STEPS if name not in ("words", "scores")}
    return Results(
        stages={
            "items": {"photos": 100, "faces": 90},
            "steps": {**steps, "prefill": [3.0, 6.0], "prefill and words": [5.0, 10.0], "model": [6.0, 12.0]},
            "stage": {"stage": [10.0, 20.0], "bare": [9.6, 19.6]},
        },
        before={
            "items": {"photos": 100, "faces": 90},
            "steps": steps | {name: [12.0, 24.0] for name in CALLS},
        },
        runs={100: Table(100, 2.0, runs)},
        waits=Waits({IMPORTS: [2.0, 4.0], ONE_ROW: [4.0, 5.0]}),
        memory={OURS: Memory(100, 1792.0, {DRIVER: (1, 200.0, 200.0)}, {DRIVER: 250.0})},
        scale=Scale({10_000: [1.0], 1_000_000: [1.2]}, {10_000: [9.0], 1_000_000: [9.0]}, {}),
    )


def test_ratios_are_taken_repeat_by_repeat() -> None:
    found = ratios([20, 40, 33], [10, 20, 11])
    assert (found.median, found.low, found.high, found.repeats) == (2.0, 2.0, 3.0, 3)
    assert found.form() == "2.00 (2.00 to 3.00)"
    assert spread([2.5]).form(1) == "2.5"
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratios([1, 2], [1])


def test_a_run_is_compared_with_and_without_the_starts() -> None:
    table = results().runs[100]
    without, included = against(table, LOOP, start=False), against(table, LOOP, start=True)
    assert without is not None
    assert included is not None
    assert (without.median, without.low, without.high) == (2.0, 2.0, 2.0)
    assert included.median == pytest.approx(22 / 14)
    assert against(table, "bare model", start=False) is None


def test_a_run_that_only_starts_has_no_rate_of_work() -> None:
    table = Table(2, 2.0, {OURS: timed((5.0, 4.9)), LOOP: timed((3.0, 2.0))})
    assert against(table, LOOP, start=False) is None
    assert against(table, LOOP, start=True) is not None


def test_steps_of_the_model_are_what_each_call_takes_more() -> None:
    steps = steps_of(results().stages)
    assert list(steps) == list(STEPS)
    assert (steps["prefill"], steps["words"], steps["scores"]) == ([3.0, 6.0], [2.0, 4.0], [1.0, 2.0])


def test_rounds_of_several_calls_are_joined() -> None:
    calls = [{"items": {"photos": 2}, "steps": {"list": [one], "crop": [2 * one]}} for one in (1.0, 3.0)]
    assert joined(calls) == {"items": {"photos": 2}, "steps": {"list": [1.0, 3.0], "crop": [2.0, 6.0]}}


def test_goals_are_met_by_medians() -> None:
    found = {goal.words: goal for goal in goals(results())}
    assert [goal.is_met for goal in found.values()] == [True, False, True, True, False, False, True]
    assert found["100 photos: run over process pool, without the starts"].ratio == spread([0.9, 0.9, 8 / 11])
    assert {goal.is_met for goal in goals(Results())} == {None}


def test_results_come_back_from_their_file_and_make_the_same_page(tmp_path: Path) -> None:
    before, file = results(), tmp_path / "results.json"
    before.scale = Scale(
        {1000: [1.5, 2.5]}, {1000: [4.0, 5.0]}, {1000: [(300.0, 310.0, 320.0), (302.0, 312.0, 322.0)]}
    )
    before.machine["runs"] = "Measured somewhere."
    before.save(file)
    after = Results.load(file)
    assert after == before
    assert Results.load(tmp_path / "none.json") == Results()
    page = blocks(after, 0.05)
    assert list(page) == list(PARTS)
    assert page["runs"].startswith("Measured somewhere.\n\n100 photos with 90 faces, 2 CPUs, 3 repeats:")
    assert (
        "| loop | 4.2 (2.3 to 4.5) | 4.5 (2.5 to 5.0) | 2.0 (2.0 to 4.0) | 2.00 (2.00 to 2.00) |"
        in page["runs"]
    )
    assert "| 1,000 | 2.00 (1.50 to 2.50) | 4.5 (4.0 to 5.0) | 301 | 311 | 321 |" in page["scale"]
    assert (
        "| model: prefill, theta | 180.00 (120.00 to 240.00) | 45.00 (30.00 to 60.00) | 4.00 (4.00 to 4.00) |"
        in page["before"]
    )
    assert "| model: words | faces | 33.8 (22.5 to 45.0) | 30.00 (20.00 to 40.00) |" in page["stages"]


def test_a_million_photos_cost_core_hours_times_price() -> None:
    found = Results(runs={50: Table(50, 2.0, {OURS: timed((7.0, 2.0))})})
    page = blocks(found, 0.04)["cost"]
    assert "| hours | 27.8 |" in page
    assert "| core hours | 55.6 |" in page
    assert "| cost | 2.22 |" in page


def photo(path: Path, colour: str) -> Path:
    Image.new("RGB", (64, 48), colour).save(path)
    return path


def test_no_two_photos_of_a_corpus_are_equal_and_all_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    own = [photo(tmp_path / "own" / "a.jpg", "red"), photo(tmp_path / "own" / "b.PNG", "blue")]
    make_corpus(own, 5, tmp_path / "five")
    made = photos_in(tmp_path / "five")
    assert len(made) == 5
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in made}) == 5
    assert {decode(path.read_bytes(), DecodeConfig()).rgb.shape for path in made} == {(48, 64, 3)}
    assert made[0].samefile(own[0])
    before = made[4].stat().st_mtime_ns
    make_corpus(own, 5, tmp_path / "five")
    assert made[4].stat().st_mtime_ns == before
    make_corpus(own[:1], 5, tmp_path / "five")
    assert [path.suffix for path in photos_in(tmp_path / "five")] == [".jpg"] * 5
    with pytest.raises(SystemExit, match="no photos"):
        photos_in(tmp_path / "nowhere")


def test_the_start_of_a_run_ends_when_its_workers_begin_on_the_average() -> None:
    listener = Listener()
    with pytest.raises(ValueError, match="no shard says"):
        _ = listener.ready
    now = time.time()
    for worker, begin in (("a", -20.0), ("b", -10.0), ("a", -5.0)):
        costs = Costs(
            cpu_seconds={"detect": 1.0, "annotate": 2.0},
            spans={"detect": (now + begin, now + begin + 1), "annotate": (now + begin + 1, now + begin + 4)},
            workers={"detect": worker, "annotate": worker},
        )
        listener.hear(ShardOutcome("shard", images=8, faces=7, costs=costs))
    assert listener.began == {"a": now - 20.0, "b": now - 10.0}
    assert time.monotonic() - listener.ready == pytest.approx(15.0, abs=1.0)
    assert (listener.images, listener.faces, listener.cpu_seconds) == (24, 21, 9.0)


def test_a_command_reports_when_its_work_began(monkeypatch: pytest.MonkeyPatch, python: list[str]) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in environment(False)
    assert environment(True)["OMP_NUM_THREADS"] == "1"
    done = run_reporting([*python, CHILD])
    assert 0 < done.report["ready"] < done.seconds
    assert done.report["faces"] == 3
    with pytest.raises(CommandError, match="ended with 3:\nso it is"):
        run([*python, "import sys; print('so it is'); sys.exit(3)"])


@pytest.fixture
def python() -> list[str]:
    return [sys.executable, "-c"]


def test_a_command_that_is_given_up_ends_with_all_that_it_started(python: list[str], tmp_path: Path) -> None:
    """The child's own child has its id in a file; what watches the child gives up once it is there."""
    file = tmp_path / "pid"
    child = (
        "import pathlib, subprocess, sys; one = subprocess.Popen([sys.executable, '-c', 'input()'], "
        f"stdin=subprocess.PIPE); pathlib.Path({str(file)!r}).write_text(str(one.pid)); one.wait()"
    )

    def give_up(_: int, seconds: float) -> None:
        if file.exists() and file.read_text():
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run([*python, child], watch=give_up, every=0.01)
    wait_until_gone([int(file.read_text())], 20)


def test_memory_is_that_of_the_moment_of_the_highest_sum() -> None:
    moments = [
        [(DRIVER, 300.0)],
        [(DRIVER, 100.0), (WORKER, 500.0), (WORKER, 600.0), (DETECT, 90.0)],
        [(DRIVER, 120.0), (WORKER, 700.0)],
    ]
    found = summarize(50, moments)
    assert found.peak == 1290.0
    assert found.roles == {DRIVER: (1, 100.0, 100.0), WORKER: (2, 1100.0, 600.0), DETECT: (1, 90.0, 90.0)}
    assert found.highest == {DRIVER: 300.0, WORKER: 700.0, DETECT: 90.0}


def test_the_driver_is_looked_at_once_it_is_loaded() -> None:
    assert along([20.0, 90.0, *(float(value) for value in range(201, 211))]) == (201.0, 205.0, 210.0)
    assert along([20.0]) == (0.0, 0.0, 0.0)


def test_processes_are_told_apart_by_their_command_and_parent() -> None:
    sandbox = "python -m pipeline.execution.sandbox"
    members = {
        one.pid: one
        for one in (
            Member(1, 0, "python -m jobs", 1.0),
            Member(2, 1, sandbox, 1.0),
            Member(3, 2, sandbox, 1.0),
            Member(4, 1, "raylet", 1.0),
            Member(5, 4, "ray::MapWorker(Annotate)", 1.0),
            Member(6, 5, sandbox, 1.0),
            Member(7, 4, "ray::IDLE", 1.0),
        )
    }
    roles = [role_of(one, members, 1) for one in members.values()]
    assert roles == [DRIVER, WORKER, DETECT, OTHER, WORKER, DETECT, OTHER]
