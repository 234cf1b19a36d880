"""Kills at random moments, then the same command again: every image once, every face once, tables as if undisturbed.

The short form; `make drills` does each many times.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from drills.counting import compare
from drills.job import SUPPORT, Job
from drills.kills import DRILLS, Drill
from drills.perform import Result, perform, struck
from drills.scenes import Scene, bundled_scene, null_scene

pytestmark = pytest.mark.timeout(1200)

IMAGES, SHARDS = 96, 8
SEEDS = 5
"""The null model is quick: a strike may come too late, and is tried again, each time sooner, at last at once."""
REAL = ("annotate actor", "everything at once", "worker or detect child without Ray")
"""What the short form does with the bundled model, which takes its time."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return null_scene(tmp_path_factory.mktemp("null"), IMAGES, IMAGES // SHARDS)


@pytest.fixture(scope="module")
def real_scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return bundled_scene(tmp_path_factory.mktemp("bundled"))


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Result]]]:
    """What becomes of the drills that were asked for, two side by side: most of one is waiting.

    Each has a fresh process: Ray keeps what it knows of a cluster in the process that started it.
    """
    asked = [
        item.callspec.params["drill"].name
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_a_kill_costs_nothing.__name__
    ]
    folder = tmp_path_factory.mktemp("drills")
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as pool:
        yield {name: pool.submit(struck, name, scene, folder, SEEDS) for name in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.slug)
def test_a_kill_costs_nothing(drill: Drill, played: dict[str, Future[Result]]) -> None:
    result = played[drill.name].result()
    assert result.count.images == IMAGES
    assert result.count.is_right, result.count
    assert result.strikes, f"{SEEDS} runs were over before anything could be killed:\n{result.printed}"


@pytest.mark.parametrize(
    "drill", [drill for drill in DRILLS if drill.name in REAL], ids=lambda drill: drill.slug
)
def test_a_kill_costs_nothing_with_a_real_model(drill: Drill, real_scene: Scene, tmp_path: Path) -> None:
    result = perform(drill, 0, real_scene, tmp_path)
    assert result.count.faces
    assert result.count.is_right, result.count
    assert result.strikes, result.printed


def test_of_two_runs_at_once_one_works_and_the_other_says_who_holds_it(scene: Scene, tmp_path: Path) -> None:
    jobs = [Job(scene.photos, tmp_path / "out", scene.options).start() for _ in range(2)]
    ended = sorted(job.finish() for job in jobs)
    assert [code for code, _ in ended] == [0, 2]
    pids = [job.process.pid for job in jobs]
    assert any(f"is in use by process {pid} on" in ended[1][1] for pid in pids), ended[1][1]
    assert compare(tmp_path / "out", scene.reference).is_right


def test_a_full_disk_stops_the_run_and_costs_nothing(scene: Scene, tmp_path: Path) -> None:
    output, full = tmp_path / "out", tmp_path / "full"
    environment = {"PYTHONPATH": str(SUPPORT / "assassin"), "DRILL_FULL": str(full)}
    job = Job(scene.photos, output, scene.options, environment).start()
    job.wait_for_commits(2)
    full.touch()
    code, printed = job.finish()
    assert code == 1, printed
    assert (
        "the run was stopped, since OUTPUT takes no more: commit: OSError: No space left on device" in printed
    )
    assert "shards are left, the others are whole; the same command tries them again" in printed
    whole = {path: path.read_bytes() for path in (output / "commits").iterdir()}
    assert 2 <= len(whole) < SHARDS
    full.unlink()
    code, printed = Job(scene.photos, output, scene.options, environment).start().finish()
    assert code == 0, printed
    assert all(path.read_bytes() == data for path, data in whole.items())
    assert compare(output, scene.reference).is_right


def test_the_comparison_sees_what_is_wrong(scene: Scene, tmp_path: Path) -> None:
    reference = scene.reference
    whole = tmp_path / "out"
    for path in reference.rglob("*.*"):
        copy = whole / path.relative_to(reference)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert compare(whole, reference).is_right
    first = min((whole / "images").iterdir())
    first.with_name("again.parquet").write_bytes(first.read_bytes())
    assert compare(whole, reference).duplicated == 12
    first.with_name("again.parquet").unlink()
    min((whole / "faces").iterdir()).unlink()
    assert compare(whole, reference).lost > 0
