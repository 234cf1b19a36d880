"""Small runs without Ray: the same rows, whatever worker dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from drills.counting import compare
from fake_model import DeadlySource, FakeSource
from images import encoded
from PIL import Image
from processes import wait_until_gone
from whole_runs import checked, five_images, run

from pipeline.config import load_config
from pipeline.errors import UsageError
from pipeline.execution import engine as engine_module
from pipeline.execution.engine import (
    AHEAD,
    IMAGES_PER_CPU,
    cpus_here,
    engine_for,
    fits_here,
    gpus_here,
    head_start,
)
from pipeline.execution.plan import plan_workers
from pipeline.execution.processes import Processes
from pipeline.execution.sandbox import Sandbox
from pipeline.execution.stages import WorkerSetup
from pipeline.run.annotate import annotate
from pipeline.shards.shard import ShardTask
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage

ALONE = ["shards.min_images=2", "shards.max_images=2", "workers.engine=processes", "workers.annotate=2"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def test_a_small_run_is_whole_and_does_not_load_ray(tmp_path: Path) -> None:
    photos, output = five_images(tmp_path), tmp_path / "out"
    code = f"""
import sys
from jobs.cli import main
code = main(["annotate", {str(photos)!r}, {str(output)!r}, "--model", "null", "--detector", "null"])
print(code, [name for name in ("ray", "torch") if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "0 []", said
    assert "worker" in said.stdout and said.stderr == ""
    assert checked(output).line.startswith("OK: 5 images")


@pytest.mark.usefixtures("small_ray")
def test_ray_and_processes_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = five_images(tmp_path)
    config = load_config(None, ALONE)
    summary = annotate(str(photos), str(tmp_path / "alone"), config, source=FakeSource(), say=str)
    assert (summary.shards, summary.committed, summary.faces, summary.errors) == (3, 3, 7, {})
    monkeypatch.undo()
    run(photos, tmp_path / "ray")
    assert compare(tmp_path / "alone", tmp_path / "ray").is_right


def test_an_image_that_kills_its_worker_is_one_failed_row(tmp_path: Path) -> None:
    photos, output = five_images(tmp_path), tmp_path / "out"
    (photos / "face.png").write_bytes((photos / "deep" / "close-up.png").read_bytes())
    with Image.open(photos / "face.png") as face:
        red, green, blue = face.convert("RGB").split()
        killer = Image.merge("RGB", [red.point(lambda v: v // 2), green, blue.point(lambda v: v // 2)])
    (photos / "face-killer.png").write_bytes(encoded(killer))
    config = load_config(None, ALONE)
    summary = annotate(str(photos), str(output), config, source=DeadlySource(), say=str)
    assert summary.errors == {}
    images = pandas.read_parquet(output / "images")
    failed = images[images["status"] == "failed"].set_index("uri")["reason"].to_dict()
    assert failed.pop(str(photos / "face-killer.png")) == "crash: its process ended with exit code 7"
    assert len(images) == 7 and list(failed) == [str(photos / "text.jpg")]


def test_a_model_that_cannot_be_loaded_is_each_shards_error(tmp_path: Path) -> None:
    summary = annotate(
        str(five_images(tmp_path)),
        str(tmp_path / "out"),
        load_config(None, ALONE),
        source=Unloadable(),
        say=str,
    )
    assert set(summary.errors.values()) == {"the annotate worker cannot start: OSError: no weights"}
    assert (summary.shards, summary.committed) == (3, 0)


class Unloadable(FakeSource):
    """Has no weights where the workers are."""

    def load(self, device: str) -> object:  # type: ignore[override]
        raise OSError("no weights")


def test_a_step_with_workers_of_its_own_is_for_ray(tmp_path: Path) -> None:
    config = load_config(None, [*ALONE, "workers.detect=1"])
    with pytest.raises(UsageError, match=r"leave out device=cuda, workers\.detect .*engine=ray"):
        annotate(str(five_images(tmp_path)), str(tmp_path / "out"), config, source=FakeSource(), say=str)


def test_small_runs_on_one_machine_do_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine_module, "GPUS", tmp_path / "none")
    usual = load_config(None, [])
    most = int(IMAGES_PER_CPU * cpus_here())
    assert fits_here(usual, 0) and fits_here(usual, most)
    assert not fits_here(usual, most + 1)
    assert not fits_here(usual, None)
    for setting in ("engine=ray", "detect=1", "commit=1"):
        assert not fits_here(load_config(None, [f"workers.{setting}"]), 1)
    assert not fits_here(load_config(None, ["model.device=cuda"]), 1)
    assert fits_here(load_config(None, ["workers.engine=processes"]), None)
    with engine_for(usual, 1, Processes()) as engine:
        assert (engine.cpus, engine.gpus) == (cpus_here(), 0)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert not fits_here(usual, 1)


def test_a_run_that_may_be_small_gets_a_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Sandbox] = []
    monkeypatch.setattr(Sandbox, "begin", lambda self: begun.append(self))
    with head_start(load_config(None, ["workers.annotate=3"])):
        assert len(begun) == 3
    with head_start(load_config(None, [f"workers.annotate={AHEAD + 1}"])):
        assert len(begun) == 3 + AHEAD
    for setting in ("workers.engine=ray", "model.path='null'"):
        with head_start(load_config(None, [setting])):
            assert len(begun) == 3 + AHEAD


def test_processes_that_start_ahead_do_the_work_or_end(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with Processes(ahead=2) as processes:
        begun = [worker.pid for worker in processes.waiting if worker.pid]
        config = load_config(None, ALONE)
        setup = WorkerSetup(config, FakeSource(), Storage(str(tmp_path / "out")), "fingerprint")
        task = ShardTask("0000-000000", (Entry(str(tmp_path / "a.png"), 8, None),))
        outcomes = list(processes.execute([task], setup, plan_workers(config, 2, 0)))
        assert [outcome.error for outcome in outcomes] == [""]
        assert outcomes[0].costs.workers["commit"].endswith(f":{begun[1]}")
    wait_until_gone(begun, 60)


def test_gpus_and_a_containers_share_of_cpus_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(engine_module, "GPUS", tmp_path)
    monkeypatch.setattr(engine_module, "QUOTA", tmp_path / "cpu.max")
    allowed = cpus_here()
    (tmp_path / "0000:01:00.0").mkdir()
    assert gpus_here() == 1
    assert not fits_here(load_config(None, []), 1)
    assert fits_here(load_config(None, ["model.device=cpu"]), 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_here() == 0
    for quota, cpus in (
        ("max 100000", allowed),
        ("100000 100000", 1),
        ("20000 100000", 1),
        ("damaged", allowed),
    ):
        (tmp_path / "cpu.max").write_text(quota)
        assert cpus_here() == cpus
