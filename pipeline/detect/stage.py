"""The first stage: fetch, decode, find faces, cut them out. One image's trouble becomes its row in the ledger."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from facegpt.photo.crop import FRAMINGS, crop_matrix, cut, face_px
from facegpt.photo.decode import DecodeError, RejectedError, decode, image_id_of
from facegpt.photo.detectors import Detection, create_detector
from facegpt.photo.detectors.registry import detector_fingerprint
from pipeline.config import RunConfig
from pipeline.errors import describe
from pipeline.shards.shard import DetectedFace, DetectedShard, ImageRecord, ShardTask
from pipeline.shards.tombstones import REASON
from pipeline.sources import Fetched, Fetcher
from pipeline.storage.locations import Entry

Pixels = NDArray[np.uint8]


def face_id_of(image_id: str, fingerprint: str, box: tuple[float, float, float, float]) -> str:
    """32 hex digits from the image's content, the detector's fingerprint and the box rounded to pixels."""
    rounded = ",".join(str(round(value)) for value in box)
    return hashlib.sha256(f"{image_id} {fingerprint} {rounded}".encode()).hexdigest()[:32]


@dataclass
class FoundImage:
    """What became of one image: its record, and its faces with their crops (W, W, 3)."""

    record: ImageRecord
    faces: list[tuple[DetectedFace, Pixels]]


def gathered(shard: str, found: Iterable[FoundImage], crop_size: int) -> DetectedShard:
    """The images of a shard as one."""
    images: list[ImageRecord] = []
    faces: list[DetectedFace] = []
    crops: list[Pixels] = []
    for image in found:
        for face, crop in image.faces:
            faces.append(replace(face, image=len(images)))
            crops.append(crop)
        images.append(image.record)
    empty = np.zeros((0, crop_size, crop_size, 3), np.uint8)
    return DetectedShard(shard, images, faces, np.stack(crops) if crops else empty)


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
        self.crop_size = crop_size
        self.forgotten = forgotten
        self.detector = create_detector(config.detector)
        self.fingerprint = detector_fingerprint(config.detector)
        framing = FRAMINGS[config.detector.name]
        self.framing = replace(framing, scale=margin * framing.scale)
        self.fetch = Fetcher(config.decode.max_bytes)

    def __call__(self, task: ShardTask) -> DetectedShard:
        """Every image of the task has exactly one record in the result, in the task's order."""
        return gathered(task.shard, self.each(task), self.crop_size)

    def each(self, task: ShardTask) -> Iterator[FoundImage]:
        """What became of each image of the task, in its order."""
        for entry, data in self._fetched(task.images):
            record = ImageRecord(entry.uri, task.shard, status="failed", stage="fetch")
            found = self._one(record, data)
            faces = [self._face(record, index, face) for index, (face, _) in enumerate(found)]
            yield FoundImage(record, [(face, crop) for face, (_, crop) in zip(faces, found, strict=True)])

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

    def _one(self, record: ImageRecord, fetched: Fetched | Exception) -> list[tuple[Detection, Pixels]]:
        """Fills in the record; gives its faces with their crops."""
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
            image = decode(data, self.config.decode)
            record.width, record.height, record.stage = image.width, image.height, "detect"
            faces = self.detector.detect(image.rgb)
            found = [(face, self._crop(image.rgb, face)) for face in faces if face_px(face) >= 1]
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

    def _crop(self, rgb: Pixels, face: Detection) -> Pixels:
        return cut(rgb, crop_matrix(face, self.framing, self.crop_size), self.crop_size)

    def _face(self, record: ImageRecord, index: int, face: Detection) -> DetectedFace:
        return DetectedFace(
            image=0,
            face_id=face_id_of(record.image_id or "", self.fingerprint, face.box),
            face_index=index,
            box=face.box,
            det_score=face.score,
            landmarks5=face.landmarks,
            crop_matrix=crop_matrix(face, self.framing, self.crop_size),
            face_px=face_px(face),
        )


def _outcome(future: Future[Fetched]) -> Fetched | Exception:
    try:
        return future.result()
    except Exception as error:
        return error
