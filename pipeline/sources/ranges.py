"""Ranges of a stored file, local or on S3, and what its store knows of it."""

from __future__ import annotations

import os
from types import TracebackType

from pipeline.storage.locations import Entry, is_s3, local_path, s3, s3_path


class RangeReader:
    """File that is open for reading ranges of its bytes; a context manager.

    Raises (when made): OSError.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._key = s3_path(uri) if is_s3(uri) else ""
        self._file = -1 if self._key else os.open(local_path(uri), os.O_RDONLY)

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def stat(self) -> Entry:
        """Returns the file's size and etag as they are now."""
        return stat_uri(self.uri) if self._key else _local_entry(self.uri, os.fstat(self._file))

    def read(self, offset: int, length: int) -> bytes:
        """Reads `length` bytes from `offset`; fewer where the file ends."""
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


class ReadAheadBuffer:
    """Buffer for reading a file forwards: it reads `near` bytes ahead where the last read ended, `far` after a jump."""

    def __init__(self, reader: RangeReader, size: int, near: int = 1 << 20, far: int = 1 << 16) -> None:
        self.reader = reader
        self.size = size
        self.near = near
        self.far = far
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """Reads `length` bytes from `offset`; fewer where the file ends."""
        end = min(offset + length, self.size)
        buffered = self._start + len(self._data)
        if not (self._start <= offset and end <= buffered):
            ahead = self.near if offset - buffered < self.near else self.far
            self._start = offset
            self._data = self.reader.read(offset, min(max(end - offset, ahead), self.size - offset))
        return self._data[offset - self._start : end - self._start]


def stat_uri(uri: str) -> Entry:
    """Returns a file's size and etag: the ETag of an S3 object, the mtime in ns of a local file.

    Raises:
        OSError: there is no such file, or its store does not say.
    """
    if not is_s3(uri):
        return _local_entry(uri, os.stat(local_path(uri)))
    info = s3().info(s3_path(uri))
    return Entry(uri, info.get("size"), object_etag(info))


def stat_or_missing(uri: str) -> Entry:
    """Returns a file's size and etag, or an entry without them where there is none: it fails when it is fetched.

    Raises:
        OSError: S3 failed in a way that may pass.
    """
    try:
        return stat_uri(uri)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return Entry(uri, None, None)
    except OSError:
        if is_s3(uri):
            raise
        return Entry(uri, None, None)


def object_etag(info: dict[str, object]) -> str | None:
    """Returns the ETag in an object's description by s3fs or S3, without its quotes."""
    return str(info.get("ETag") or "").strip('"') or None


def _local_entry(uri: str, status: os.stat_result) -> Entry:
    return Entry(uri, status.st_size, str(status.st_mtime_ns))
