"""A shard that lost a worker process, done again with the model in a process of its own."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from fake_model import CrowdAnnotator, CrowdSource

from pipeline.annotate.stage import AnnotateFaces
from pipeline.config import load_config
from pipeline.execution.guarded import annotate_work
from pipeline.execution.stages import WorkerSetup, annotate_step
from pipeline.shards.shard import AnnotatedShard, DetectedFace, DetectedShard, ImageRecord
from pipeline.storage.store import Storage

GREY, RED, GREEN = (128, 128, 128), (255, 0, 0), (0, 255, 0)
CONFIG = load_config(None, ["model.micro_batch=3", "workers.image_seconds=60"])


def detected(*images: list[tuple[int, int, int]]) -> DetectedShard:
    """A shard with one image per argument, which lists the colours of its faces' crops."""
    records = [
        ImageRecord(
            f"/p/{number}.png", "s", "annotated", "detect", f"id{number}", 9, 90, 90, n_faces=len(colours)
        )
        for number, colours in enumerate(images)
    ]
    faces = [
        DetectedFace(number, f"face-{number}-{index}", index, (1, 2, 3, 4), 0.7, None, np.eye(2, 3), 99.0)
        for number, colours in enumerate(images)
        for index in range(len(colours))
    ]
    crops = [np.full((112, 112, 3), colour, np.uint8) for colours in images for colour in colours]
    return DetectedShard("s", records, faces, np.stack(crops))


def guarded(shard: DetectedShard) -> AnnotatedShard:
    made = pickle.dumps(partial(annotate_work, CrowdSource(), "cpu", 1))
    setup = WorkerSetup(CONFIG, CrowdSource(), Storage("unused"), "fingerprint")
    result: AnnotatedShard = annotate_step(setup, "cpu", 1, made)(shard)
    return result


def test_its_numbers_are_those_that_it_would_have_had() -> None:
    """Whoever killed the worker: the same micro-batches, so the same last digits."""
    images = [GREY], [GREY, GREY], [GREY, GREY]
    usual = AnnotateFaces(CONFIG, CrowdAnnotator(), "fingerprint")(detected(*images))
    assert usual.faces["sharpness"].to_pylist() == [3, 3, 3, 2, 2]
    assert guarded(detected(*images)).faces.equals(usual.faces)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(4))
def test_an_image_that_kills_the_model_costs_the_others_nothing(place: int) -> None:
    images = [[GREY], [GREY, GREY], [RED]]
    images.insert(place, [GREY, GREEN])
    shard = guarded(detected(*images))
    failed = {record.uri: record.reason for record in shard.images if record.status == "failed"}
    assert failed == {
        f"/p/{place}.png": "crash: its process ended with exit code 7",
        f"/p/{images.index([RED])}.png": "RuntimeError: red upsets the model",
    }
    assert shard.faces.num_rows == 3
