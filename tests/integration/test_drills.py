"""Kills at random moments, then the same command again: every image once, every face once, tables as if undisturbed.

The short form; `make drills` does each many times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from drills.harness import SHARD, SUPPORT, Job, commits, compare, make_corpus
from drills.kills import DRILLS, Drill, perform
from ray.cluster_utils import Cluster

IMAGES = 96
SEEDS = 5
"""The null model is quick: a strike may come too late, and is tried again at another moment."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "photos", IMAGES)


@pytest.fixture(scope="module")
def reference(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that nothing disturbs."""
    output = tmp_path_factory.mktemp("reference") / "out"
    code, printed = Job(corpus, output).start().finish()
    assert code == 0, printed
    return output


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name.replace(" ", "-"))
def test_a_kill_costs_nothing(drill: Drill, corpus: Path, reference: Path, tmp_path: Path) -> None:
    for seed in range(SEEDS):
        result = perform(drill, seed, corpus, reference, tmp_path)
        assert result.count.images == IMAGES
        assert result.count.is_right, result.count
        if result.killed:
            return
    pytest.fail(f"{SEEDS} runs were over before anything could be killed:\n{result.printed}")


def test_of_two_runs_at_once_one_works_and_the_other_says_who_holds_it(
    corpus: Path, reference: Path, tmp_path: Path
) -> None:
    jobs = [Job(corpus, tmp_path / "out").start() for _ in range(2)]
    ended = sorted(job.finish() for job in jobs)
    assert [code for code, _ in ended] == [0, 2]
    pids = [job.process.pid for job in jobs]
    assert any(f"is in use by process {pid} on" in ended[1][1] for pid in pids), ended[1][1]
    assert compare(tmp_path / "out", reference).is_right


def test_a_full_disk_stops_the_run_and_costs_nothing(corpus: Path, reference: Path, tmp_path: Path) -> None:
    output, full = tmp_path / "out", tmp_path / "full"
    environment = {"PYTHONPATH": str(SUPPORT / "assassin"), "DRILL_FULL": str(full)}
    job = Job(corpus, output, environment=environment).start()
    job.wait_for_commits(2)
    full.touch()
    code, printed = job.finish()
    assert code == 1, printed
    assert (
        "the run was stopped, since OUTPUT takes no more: commit: OSError: No space left on device" in printed
    )
    assert "shards are left, the others are whole; the same command tries them again" in printed
    whole = {path: path.read_bytes() for path in (output / "commits").iterdir()}
    assert 2 <= len(whole) < IMAGES / SHARD
    full.unlink()
    code, printed = Job(corpus, output, environment=environment).start().finish()
    assert code == 0, printed
    assert all(path.read_bytes() == data for path, data in whole.items())
    assert compare(output, reference).is_right


def test_the_loss_of_a_node_costs_nothing(corpus: Path, reference: Path, tmp_path: Path) -> None:
    head = {"num_cpus": 0, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20) for _ in range(2)]
        cluster.wait_for_nodes()
        output = tmp_path / "out"
        job = Job(corpus, output, environment={"RAY_ADDRESS": cluster.address}).start()
        job.wait_for_commits(2)
        cluster.remove_node(nodes[0], allow_graceful=False)
        code, printed = job.finish()
        assert code == 0, printed
        assert commits(output) == IMAGES / SHARD
        assert compare(output, reference).is_right
    finally:
        cluster.shutdown()


def test_the_comparison_sees_what_is_wrong(reference: Path, tmp_path: Path) -> None:
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
