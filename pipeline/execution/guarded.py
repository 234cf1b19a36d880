"""The stages with each image's work in a sandbox: an image that kills its process, or stops it, is one failed row."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.annotate.model_source import Annotator, CrashError, ModelSource
from pipeline.config import RunConfig
from pipeline.detect.stage import DetectAndCrop, FoundImage, gathered
from pipeline.execution.sandbox import Death, Sandbox, Work
from pipeline.shards.costs import CHILD
from pipeline.shards.shard import DetectedShard, ImageRecord, ShardTask

if TYPE_CHECKING:
    from facegpt.model.annotation import FaceAnnotation
    from facegpt.morphable import FaceModel


class GuardedDetect:
    """`DetectAndCrop` in a child process: codecs and detectors are native code, and meet files from anywhere."""

    def __init__(self, config: RunConfig, crop_size: int, forgotten: frozenset[str] = frozenset()) -> None:
        self.crop_size = crop_size
        made = pickle.dumps(partial(detect_work, config, crop_size, forgotten))
        self.sandbox = Sandbox(made, config.workers.image_seconds)
        # It loads the detector while this process loads the model.
        self.sandbox.begin()

    def __call__(self, task: ShardTask) -> DetectedShard:
        """Detects in each image of the task, which has exactly one record in the result, in the task's order.

        Raises:
            pipeline.execution.sandbox.SandboxError: the detector cannot be loaded.
        """
        before, _ = self.sandbox.usage()
        shard = gathered(task.shard, self._found(task), self.crop_size)
        after, peak = self.sandbox.usage()
        # The child may be another one by now, which has not used what the first one had.
        shard.costs.cpu_seconds["detect"] = max(0.0, after - before)
        shard.costs.peak_bytes[CHILD] = peak
        return shard

    def _found(self, task: ShardTask) -> Iterator[FoundImage]:
        pieces = [ShardTask(task.shard, (entry,)) for entry in task.images]
        for entry, result in zip(task.images, self.sandbox.map(pieces), strict=True):
            if isinstance(result, Death):
                record = ImageRecord(entry.uri, task.shard, "failed", "detect", reason=result.reason)
                yield FoundImage(record, [])
            else:
                yield result


class GuardedAnnotator:
    """An annotator that works in a child process, in which `made` (a pickled `annotate_work`) is called: for shards
    that have lost a worker process before.

    It gets as many crops at a time as the annotator itself takes together, since the last digits of what it says depend
    on that: a shard that lost its worker for no fault of its own has the numbers that it would have had.
    """

    def __init__(self, annotator: Annotator, made: bytes, seconds: float) -> None:
        self.annotator = annotator
        self.sandbox = Sandbox(made, seconds)

    @property
    def face_model(self) -> FaceModel:
        return self.annotator.face_model

    @property
    def digest(self) -> str:
        return self.annotator.digest

    @property
    def crop_size(self) -> int:
        return self.annotator.crop_size

    def crops_at_once(self, share: float) -> int:
        """Gives the annotator's own number."""
        return self.annotator.crops_at_once(share)

    def crops_together(self, micro_batch: int) -> int:
        """Gives the annotator's own number."""
        return self.annotator.crops_together(micro_batch)

    def annotate(self, crops: NDArray[np.uint8], micro_batch: int = 32) -> Sequence[FaceAnnotation]:
        """Annotates as the annotator itself does; raises CrashError for crops that its process did not survive."""
        together = self.crops_together(micro_batch)
        parts = [(crops[start : start + together], micro_batch) for start in range(0, len(crops), together)]
        results: list[Any] = []
        for result in self.sandbox.map(parts):
            if isinstance(result, Death):
                raise CrashError(result.reason)
            results.append(result)
        annotations: list[FaceAnnotation] = []
        for result in results:
            if isinstance(result, Exception):
                raise result
            annotations += result
        return annotations


def annotate_work(source: ModelSource, device: str, threads: int) -> Work:
    """Makes what runs in the child of `GuardedAnnotator`."""
    import torch

    torch.set_num_threads(threads)
    annotator = source.load(device)

    def work(items: list[Any]) -> Iterator[Any]:
        for crops, micro_batch in items:
            try:
                yield annotator.annotate(crops, micro_batch)
            except Exception as error:
                yield error

    return work


def detect_work(config: RunConfig, crop_size: int, forgotten: frozenset[str] = frozenset()) -> Work:
    """Makes what runs in the child of `GuardedDetect`."""
    stage = DetectAndCrop(config, crop_size, forgotten)

    def work(pieces: list[Any]) -> Iterator[FoundImage]:
        entries = tuple(entry for piece in pieces for entry in piece.images)
        return stage.each(ShardTask(pieces[0].shard, entries))

    return work
