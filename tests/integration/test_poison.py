"""Files that kill, hang or break what reads them: each is one row with a reason, and costs nobody else anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import ray
from fake_model import DeadlySource
from images import encoded
from photo_files import collect_photos
from PIL import Image
from small_ray import start_ray

from pipeline.config import load_config
from pipeline.output.run_json import existing_run
from pipeline.run.annotate import annotate
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import verify

pytestmark = pytest.mark.timeout(900)

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A Ray whose processes have `poison/sitecustomize.py` on their path."""
    path = [str(SUPPORT / "poison"), str(SUPPORT), os.getcwd()]
    start_ray({"PYTHONPATH": os.pathsep.join(path)})
    yield
    ray.shutdown()


@pytest.mark.parametrize(
    "workers",
    [
        ["workers.detect=1", "workers.annotate=1"],
        ["workers.engine=ray", "workers.annotate=1"],
        ["workers.engine=processes", "workers.annotate=2"],
    ],
    ids=["three pools", "joint workers", "without Ray"],
)
def test_every_poison_is_one_failed_row(
    workers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT / "poison"))  # which processes without Ray take over
    everything, photos, output = tmp_path / "all", tmp_path / "photos", tmp_path / "out"
    collect_photos(everything)
    photos.mkdir()
    good = ("cat.png", "close-up.png", "portrait-spacesuit.png", "coffee.png")
    for number in range(3):
        for name in good:
            (photos / f"{number}-{name}").write_bytes((everything / name).read_bytes())
    (photos / "0-crash.jpg").write_bytes(b"KILL")
    (photos / "1-crash.jpg").write_bytes(b"KILL, too")
    os.mkfifo(photos / "1-stuck.jpg")
    (photos / "2-truncated.png").write_bytes((everything / "close-up.png").read_bytes()[:5000])
    (photos / "2-bomb.png").write_bytes(encoded(Image.new("1", (20_000, 20_000))))
    green = np.asarray(Image.open(everything / "portrait-spacesuit.png").convert("RGB")).copy()
    green[..., [0, 2]] //= 2
    (photos / "2-model-killer.png").write_bytes(encoded(Image.fromarray(green)))

    shards = ["shards.min_images=6", "shards.max_images=6"]
    config = load_config(None, [*shards, *workers, "workers.image_seconds=30"])
    summary = annotate(str(photos), str(output), config, source=DeadlySource(), say=str)
    assert summary.errors == {}
    images = pandas.read_parquet(output / "images")
    images.index = images["uri"].map(lambda uri: Path(uri).name)
    assert len(images) == 18
    failed = images[images["status"] == "failed"]["reason"].to_dict()
    crash = "crash: its process was ended by SIGSEGV"
    assert failed.pop("2-truncated.png").startswith("damaged or truncated PNG data")
    assert "a decompression bomb" in failed.pop("2-bomb.png")
    assert failed == {
        "0-crash.jpg": crash,
        "1-crash.jpg": crash,
        "1-stuck.jpg": "took longer than 30 s (workers.image_seconds): stopped",
        "2-model-killer.png": "crash: its process ended with exit code 7",
    }
    for number in range(3):
        for name, status in zip(good, ("no_face", "annotated", "annotated", "no_face"), strict=True):
            assert images.loc[f"{number}-{name}", "status"] == status
    storage = Storage(str(output))
    verdict = verify(storage, str(existing_run(storage)["fingerprint"]))
    assert verdict.problems == []
