"""What a run does with its listing, on a stand-in for the graph: no Ray is started."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeSource

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import load_config
from pipeline.detect.stage import DetectAndCrop
from pipeline.errors import UsageError
from pipeline.execution import cluster as ray_cluster
from pipeline.execution import graph
from pipeline.execution.stages import WorkerSetup
from pipeline.output.commit import commit_shard
from pipeline.run import annotate as run_module
from pipeline.run.annotate import annotate
from pipeline.shards import feed as feed_module
from pipeline.shards.manifest import ShardLoader
from pipeline.shards.shard import ShardRef
from pipeline.sources import Listing
from pipeline.storage.locations import Entry
from pipeline.upkeep.verify import verify

CONFIG = load_config(None, ["shards.min_images=2", "shards.max_images=2", "workers.engine=ray"])


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Does the graph's work here and now; how many shards each wave had."""
    executed: list[int] = []

    @contextmanager
    def cluster() -> Iterator[tuple[float, float]]:
        yield 2.0, 0.0

    def execute(refs: list[ShardRef], setup: WorkerSetup, *_: Any, **__: Any) -> Any:
        executed.append(len(refs))
        load, detect = ShardLoader(setup.storage), DetectAndCrop(setup.config, setup.source.crop_size)
        label = AnnotateFaces(setup.config, setup.source.load("cpu"), setup.fingerprint)
        for ref in refs:
            yield commit_shard(setup.storage, label(detect(load(ref))), setup.fingerprint)

    monkeypatch.setattr(ray_cluster, "cluster", cluster)
    monkeypatch.setattr(graph, "execute", execute)
    monkeypatch.setattr(run_module, "SHARDS_PER_WORKER", 1)
    return executed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five files that are no images: quick to fail, and rows all the same."""
    (tmp_path / "photos").mkdir()
    for name in "abcde":
        (tmp_path / "photos" / f"{name}.png").write_bytes(b"no image")
    return tmp_path / "photos"


def run(folder: Path, output: Path, **options: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    return annotate(str(folder), str(output), CONFIG, source=FakeSource(), say=said.append, **options), said


def test_an_error_in_mid_listing_is_told_after_the_work_that_was_found(
    folder: Path, tmp_path: Path, waves: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    images, execute = Listing.__iter__, graph.execute

    def breaks(listing: Listing) -> Iterator[list[Entry]]:
        yield [entry for chunk in images(listing) for entry in chunk][:4]
        assert gate.wait(60)
        raise UsageError("cannot read the folder x: Permission denied")

    def opens(*arguments: Any, **flags: Any) -> Iterator[Any]:
        yield from execute(*arguments, **flags)
        gate.set()

    with monkeypatch.context() as patched:
        patched.setattr(Listing, "__iter__", breaks)
        patched.setattr(graph, "execute", opens)
        patched.setattr(feed_module, "SETTLE_SECONDS", 0.0)
        with pytest.raises(
            UsageError, match=r"cannot read the folder x: .*\(4 images that were found before are done"
        ):
            run(folder, tmp_path / "out")
    assert waves == [2]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["invocations"][0]["images"] == 4
    summary, _ = run(folder, tmp_path / "out")
    assert (summary.shards, summary.images) == (1, 1)
    storage = run_module.Storage(str(tmp_path / "out"))
    assert verify(storage, record["fingerprint"]).line == "OK: 5 images, 0 faces, 0 meshes"


def test_uncommitted_shards_and_new_ones_go_into_the_work_together(
    folder: Path, tmp_path: Path, waves: list[int]
) -> None:
    run(folder, tmp_path / "out")
    assert waves == [3]
    (tmp_path / "out" / "commits" / "0000-000001.json").unlink()
    (folder / "f.png").write_bytes(b"no image")
    summary, said = run(folder, tmp_path / "out")
    assert (summary.shards, summary.committed, summary.images) == (2, 2, 3)
    assert "2 shards are committed already" in said[-1]
    assert run(folder, tmp_path / "out")[1][-1].startswith("nothing to do: all 6 images")


def test_replace_deletes_nothing_before_the_input_is_known_to_be_good(
    folder: Path, tmp_path: Path, waves: list[int]
) -> None:
    output = tmp_path / "out"
    run(folder, output)
    before = sorted(output.rglob("*"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no image in"):
        run(tmp_path / "empty", output, replace=True)
    assert sorted(output.rglob("*")) == before
    summary, _ = run(folder, output, replace=True, limit=2)
    assert (summary.shards, summary.images) == (1, 2)
    assert [path.name for path in (output / "images").iterdir()] == ["0000-000000.parquet"]
