"""A stored file that is read in pieces: local or on S3."""

from __future__ import annotations

import os
from types import TracebackType

from pipeline.storage.locations import S3, Entry, is_s3, local_path, s3


class Blob:
    """A file open for reading ranges; a context manager.

    Raises (when made): OSError.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._key = uri[len(S3) :] if is_s3(uri) else ""
        self._file = -1 if self._key else os.open(local_path(uri), os.O_RDONLY)

    def __enter__(self) -> Blob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def entry(self) -> Entry:
        """What the file is now: size and etag."""
        return stored(self.uri) if self._key else _entry(self.uri, os.fstat(self._file))

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of the range, or those of it that the file has."""
        if self._key:
            return bytes(s3().cat_file(self._key, start=offset, end=offset + length)) if length else b""
        pieces = []
        while length > 0:
            piece = os.pread(self._file, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)


class Window:
    """Reads a blob forwards through one buffer: `far` bytes after a jump, `near` where the last read ended."""

    def __init__(self, blob: Blob, size: int, near: int = 1 << 20, far: int = 1 << 16) -> None:
        self.blob = blob
        self.size = size
        self.near = near
        self.far = far
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of the range, or those of it that the file has."""
        end = min(offset + length, self.size)
        have = self._start + len(self._data)
        if not (self._start <= offset and end <= have):
            ahead = self.near if offset - have < self.near else self.far
            self._start = offset
            self._data = self.blob.read(offset, min(max(end - offset, ahead), self.size - offset))
        return self._data[offset - self._start : end - self._start]


def stored(uri: str) -> Entry:
    """A file as its store knows it.

    Raises:
        OSError: there is none, or it cannot be examined.
    """
    if not is_s3(uri):
        return _entry(uri, os.stat(local_path(uri)))
    info = s3().info(uri[len(S3) :])
    return Entry(uri, info.get("size"), etag_of(info))


def etag_of(info: dict[str, object]) -> str | None:
    """The ETag in what s3fs or S3 says of an object, without its quotes."""
    return str(info.get("ETag") or "").strip('"') or None


def _entry(uri: str, status: os.stat_result) -> Entry:
    return Entry(uri, status.st_size, str(status.st_mtime_ns))
