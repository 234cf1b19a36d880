"""Cache for neighbouring ranges of S3 objects, read as few large requests: a request costs more than a megabyte."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from pipeline.sources.ranges import RangeReader

BLOCK_BYTES = 1 << 20
BLOCKS_KEPT = 16


class RangeCache:
    """The blocks of objects that were read last; safe to use by several threads, which read no block twice at once.

    Args:
        block_bytes: of a block.
        blocks_kept: how many blocks are kept; the one that was used longest ago goes first.
    """

    def __init__(self, block_bytes: int = BLOCK_BYTES, blocks_kept: int = BLOCKS_KEPT) -> None:
        self.block_bytes, self.blocks_kept = block_bytes, blocks_kept
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, str, int], Future[bytes]] = OrderedDict()

    def read(self, reader: RangeReader, etag: str, offset: int, length: int) -> bytes:
        """Reads `length` bytes from `offset`, fewer where the object ends; `etag` is of the object as it was listed.

        A range larger than a block is read by itself. Raises OSError, and keeps no block that could not be read.
        """
        if length > self.block_bytes:
            return reader.read(offset, length)
        first = offset // self.block_bytes
        data = self._block(reader, etag, first)
        if offset + length > (first + 1) * self.block_bytes and len(data) == self.block_bytes:
            data += self._block(reader, etag, first + 1)
        start = offset - first * self.block_bytes
        return data[start : start + length]

    def _block(self, reader: RangeReader, etag: str, index: int) -> bytes:
        """Returns a block from the cache, or reads it; threads that want the same block wait for the first of them."""
        key = (reader.uri, etag, index)
        with self._lock:
            cached = self._blocks.get(key)
            block = cached or Future()
            self._blocks[key] = block
            self._blocks.move_to_end(key)
            while len(self._blocks) > self.blocks_kept:
                self._blocks.popitem(last=False)
        if cached is None:
            try:
                block.set_result(reader.read(index * self.block_bytes, self.block_bytes))
            except BaseException as error:
                with self._lock:
                    self._blocks.pop(key, None)
                block.set_exception(error)
        return block.result()
