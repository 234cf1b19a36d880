"""Paths and s3:// URLs: their forms, the S3 filesystem, and reading the bytes behind them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

import fsspec

from pipeline.errors import UsageError

S3 = "s3://"
FILE = "file://"
CONNECT_SECONDS, READ_SECONDS = 10, 60
ATTEMPTS = 6
"""Tries of one request by botocore, which waits about 0.5, 1, 2, 4 and 8 seconds between them; s3fs begins anew up to
five times where the store asks to slow down, a connection breaks, or a body ends early. So a store may be away for a
minute before an image fails for it."""
ONE_REQUEST = {"max_concurrency": 1}
"""Without it, s3fs asks for the size of every object first, to see whether it is worth reading in parts at once."""


@dataclass(frozen=True)
class Entry:
    """A stored file, as a listing names it: URI, size in bytes, and an etag that changes when the file does."""

    uri: str
    size: int | None
    etag: str | None


@cache
def s3() -> Any:
    """Returns the S3 filesystem of this process; it caches no listing, since other processes write, too.

    AWS_MAX_ATTEMPTS and AWS_RETRY_MODE, where they are set, decide about retries.
    """
    config: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
        # Not mode `standard`: its budget of 100 retries for all requests together is gone within a second of a
        # store's bad minute, and then whatever fails fails at once.
        config["retries"] = {"mode": "legacy", "total_max_attempts": ATTEMPTS}
    return fsspec.filesystem("s3", use_listings_cache=False, config_kwargs=config)


def normalize(location: str) -> str:
    """Turns a location into an s3:// URL without trailing slashes, or into an absolute local path.

    Raises:
        UsageError: another scheme, or credentials in the URL.
    """
    if location.startswith(FILE):
        return local_uri(local_path(location))
    if "://" not in location:
        return local_uri(os.path.abspath(os.path.expanduser(location)))
    parts = urlsplit(location)
    if parts.scheme not in ("s3", "s3a"):
        raise UsageError(f"{location}: only local paths and s3:// URLs are known, not {parts.scheme}://")
    if "@" in parts.netloc:
        raise UsageError(
            "credentials do not belong in a URL: use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        )
    if not parts.netloc:
        raise UsageError(f"{location}: the URL names no bucket")
    return S3 + location.split("://", 1)[1].rstrip("/")


def is_s3(uri: str) -> bool:
    """Tells whether a URI lies in S3."""
    return uri.startswith(S3)


def s3_path(uri: str) -> str:
    """Returns BUCKET/KEY of an s3:// URL, which is how s3fs names objects."""
    return uri[len(S3) :]


def local_uri(path: str) -> str:
    """Returns the URI of a local path: the path itself, or a quoted file:// URL where it is not UTF-8."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return FILE + quote_from_bytes(os.fsencode(path))
    return path


def local_path(uri: str) -> str:
    """Returns the local path of a URI; the inverse of `local_uri`."""
    return os.fsdecode(unquote_to_bytes(uri[len(FILE) :])) if uri.startswith(FILE) else uri


def read_uri(uri: str, max_bytes: int, size: int | None = None) -> bytes:
    """Reads all bytes of a file of at most `max_bytes`; `size` as it was listed spares S3 a request.

    Raises:
        OSError: it cannot be read (FileNotFoundError, PermissionError, ...).
        ValueError: it is larger than `max_bytes`.
    """
    too_large = f"larger than {max_bytes:,} bytes (decode.max_bytes)"
    if is_s3(uri):
        path = s3_path(uri)
        if (s3().size(path) if size is None else size) > max_bytes:
            raise ValueError(too_large)
        data = bytes(s3().cat_file(path, **ONE_REQUEST))
    else:
        with open(local_path(uri), "rb") as file:
            data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(too_large)
    return data
