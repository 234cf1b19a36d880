"""Reads of neighbouring ranges of one object as few large requests: a request to S3 costs more than a megabyte."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from pipeline.sources.blobs import Blob

CHUNK = 1 << 20
KEPT = 16


class Chunks:
    """The chunks of objects that were read last; safe to use by several threads, which read no chunk twice at once."""

    def __init__(self, chunk: int = CHUNK, kept: int = KEPT) -> None:
        self.chunk, self.kept = chunk, kept
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str, int], Future[bytes]] = OrderedDict()

    def read(self, blob: Blob, etag: str, offset: int, length: int) -> bytes:
        """The bytes of the range, or those of it that the object has; `etag` is of the object as it was listed.

        A range larger than a chunk is read by itself. Raises OSError, and forgets what could not be read.
        """
        if length > self.chunk:
            return blob.read(offset, length)
        first = offset // self.chunk
        data = self._get(blob, etag, first)
        if offset + length > (first + 1) * self.chunk and len(data) == self.chunk:
            data += self._get(blob, etag, first + 1)
        start = offset - first * self.chunk
        return data[start : start + length]

    def _get(self, blob: Blob, etag: str, index: int) -> bytes:
        key = (blob.uri, etag, index)
        with self._lock:
            known = self._read.get(key)
            future = known or Future()
            self._read[key] = future
            self._read.move_to_end(key)
            while len(self._read) > self.kept:
                self._read.popitem(last=False)
        if known is None:
            try:
                future.set_result(blob.read(index * self.chunk, self.chunk))
            except BaseException as error:
                with self._lock:
                    self._read.pop(key, None)
                future.set_exception(error)
        return future.result()
