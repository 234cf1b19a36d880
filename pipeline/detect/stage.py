"""The first stage: fetch, decode, find faces, cut them out. One image's trouble becomes its row in the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from facegpt.photo.decode import DecodeError, RejectedError, image_id_of
from facegpt.photo.finder import FaceCrop, FaceFinder
from pipeline.config import RunConfig
from pipeline.errors import describe
from pipeline.shards.costs import Costs, timed
from pipeline.shards.shard import DetectedFace, DetectedShard, ImageRecord, ShardTask
from pipeline.shards.tombstones import REASON
from pipeline.sources import Fetched, Fetcher
from pipeline.storage.locations import Entry


@dataclass
class FoundImage:
    """What became of one image: its record, its faces with their crops, and the seconds of fetching (as far as they
    were waited for), decoding and finding.
    """

    record: ImageRecord
    faces: list[FaceCrop]
    seconds: dict[str, float] = field(default_factory=dict)


def gathered(shard: str, found: Iterable[FoundImage], crop_size: int) -> DetectedShard:
    """The images of a shard as one."""
    images: list[ImageRecord] = []
    faces: list[DetectedFace] = []
    crops: list[NDArray[np.uint8]] = []
    costs = Costs()
    for image in found:
        for face in image.faces:
            faces.append(_without_crop(face, len(images)))
            crops.append(face.crop)
        images.append(image.record)
        costs.add(Costs({f"detect.{part}": seconds for part, seconds in image.seconds.items()}))
    empty = np.zeros((0, crop_size, crop_size, 3), np.uint8)
    return DetectedShard(shard, images, faces, np.stack(crops) if crops else empty, costs)


class DetectAndCrop:
    """Turns shards to do into shards with crops of `crop_size` px, of a square `margin` times that which a model wants;
    loads the detector once.

    Images whose id is in `forgotten` are rejected, and their id is not written down.

    Raises (when made): facegpt.photo.detectors.DetectorError.
    """

    def __init__(
        self,
        config: RunConfig,
        crop_size: int,
        forgotten: frozenset[str] = frozenset(),
        margin: float = 1.0,
    ) -> None:
        cv2.setNumThreads(1)
        self.config = config
        self.forgotten = forgotten
        self.finder = FaceFinder(config.decode, config.detector, crop_size, margin)
        self.fetch = Fetcher(config.decode.max_bytes)

    def __call__(self, task: ShardTask) -> DetectedShard:
        """Every image of the task has exactly one record in the result, in the task's order."""
        return gathered(task.shard, self.each(task), self.finder.crop_size)

    def each(self, task: ShardTask) -> Iterator[FoundImage]:
        """What became of each image of the task, in its order."""
        started = perf_counter()
        for entry, data in self._fetched(task.images):
            seconds = {"fetch": perf_counter() - started}
            record = ImageRecord(entry.uri, task.shard, status="failed", stage="fetch")
            yield FoundImage(record, self._one(record, data, seconds), seconds)
            started = perf_counter()

    def _fetched(self, entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Fetched | Exception]]:
        """The files' bytes, in order, read a few ahead by threads."""
        threads = self.config.workers.fetch_threads
        with ThreadPoolExecutor(threads) as pool:
            waiting = iter(entries)
            ahead = deque((entry, pool.submit(self.fetch, entry)) for entry in islice(waiting, threads))
            while ahead:
                entry, future = ahead.popleft()
                yield entry, _outcome(future)
                following = next(waiting, None)
                if following is not None:
                    ahead.append((following, pool.submit(self.fetch, following)))

    def _one(
        self, record: ImageRecord, fetched: Fetched | Exception, seconds: dict[str, float]
    ) -> list[FaceCrop]:
        """Fills in the record, and the seconds of decoding and finding; gives its faces with their crops."""
        if isinstance(fetched, Exception):
            record.reason = describe(fetched)
            return []
        data, record.source_caption = fetched.data, fetched.caption
        record.bytes, image_id = len(data), image_id_of(data)
        if image_id in self.forgotten:
            # Nor may its caption stay.
            record.status, record.reason, record.source_caption = "rejected", REASON, None
            return []
        record.image_id, record.stage = image_id, "decode"
        try:
            with timed(seconds, "decode"):
                image = self.finder.decode(data)
            record.width, record.height, record.stage = image.width, image.height, "detect"
            with timed(seconds, "find"):
                found = self.finder.find(image, image_id)
        except RejectedError as rejection:
            record.status, record.reason = "rejected", str(rejection)
            record.width, record.height = rejection.width, rejection.height
            return []
        except DecodeError as error:
            record.reason = str(error)
            return []
        except Exception as error:
            # Whatever a library throws at one image must not cost the shard its other images; the ledger keeps it.
            record.reason = f"{type(error).__name__}: {describe(error)}"
            return []
        record.status, record.n_faces = ("annotated" if found else "no_face"), len(found)
        return found


def _without_crop(face: FaceCrop, image: int) -> DetectedFace:
    """The face as a shard keeps it, whose crops lie together; `image` is the index of its image in the shard."""
    return DetectedFace(
        image=image,
        face_id=face.face_id,
        face_index=face.face_index,
        box=face.box,
        det_score=face.det_score,
        landmarks5=face.landmarks5,
        crop_matrix=face.crop_matrix,
        face_px=face.face_px,
    )


def _outcome(future: Future[Fetched]) -> Fetched | Exception:
    try:
        return future.result()
    except Exception as error:
        return error
