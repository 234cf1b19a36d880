"""Listing an S3 prefix: page by page, and several subfolders at once where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipeline.sources.names import is_container, is_image
from pipeline.sources.prefetch import interleave, iter_chunks
from pipeline.sources.ranges import object_etag
from pipeline.storage.locations import S3, Entry, s3, s3_path

PAGE = 1000
PREFIXES_AT_ONCE = 8

ToEntry = Callable[[dict[str, Any]], Entry | None]


def list_prefix(
    uri: str, exclude: str | None = None, sequential: bool = False
) -> Iterator[list[Entry | None]]:
    """Yields the images and containers below a prefix but not below `exclude`; None for every other object.

    Args:
        uri: s3://BUCKET or s3://BUCKET/PREFIX.
        exclude: an s3:// URL, as `uri`.
        sequential: in the order of keys. Otherwise, where the prefix has few enough subfolders, a thousand objects of
            each in turn, which is several times as fast; that order is the same every time, too.
    """
    bucket, key, _ = s3().split_path(s3_path(uri))
    prefix = f"{key}/" if key else ""
    to_entry = partial(_entry, bucket, f"{exclude}/" if exclude else None)
    folders: list[str] = []
    if not sequential and next(_pages(bucket, prefix), {}).get("IsTruncated"):
        prefix, folders = _subfolders(bucket, prefix)
    if len(folders) < 2:
        yield from iter_chunks(map(to_entry, _objects(bucket, prefix)))
        return
    yield from iter_chunks(map(to_entry, _objects(bucket, prefix, delimiter="/")))
    makers = [partial(_entries, to_entry, bucket, folder) for folder in folders]
    yield from interleave(makers, PREFIXES_AT_ONCE)


def _subfolders(bucket: str, prefix: str) -> tuple[str, list[str]]:
    """Lists the subfolders of a prefix, or of the one subfolder that everything lies in; none if they fill a page."""
    while True:
        page = next(_pages(bucket, prefix, delimiter="/"), {})
        folders = [str(item["Prefix"]) for item in page.get("CommonPrefixes", [])]
        if page.get("IsTruncated"):
            return prefix, []
        if len(folders) != 1 or page.get("Contents"):
            return prefix, folders
        prefix = folders[0]


def _entries(to_entry: ToEntry, bucket: str, prefix: str) -> Iterator[Entry | None]:
    """Yields the entries of all objects below a prefix."""
    return map(to_entry, _objects(bucket, prefix))


def _entry(bucket: str, exclude: str | None, item: dict[str, Any]) -> Entry | None:
    """Makes the entry of a listed object; None if it is neither image nor container, or lies below `exclude`."""
    uri = f"{S3}{bucket}/{item['Key']}"
    if not (is_image(uri) or is_container(uri)) or (exclude is not None and uri.startswith(exclude)):
        return None
    return Entry(uri, item["Size"], object_etag(item))


def _objects(bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """Yields the objects below a prefix, as S3 describes them."""
    for page in _pages(bucket, prefix, delimiter):
        yield from page.get("Contents", [])


def _pages(bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """Yields the pages of a listing, each by a call of its own, which s3fs tries again when the store is busy."""
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": PAGE}
    if delimiter:
        request["Delimiter"] = delimiter
    while True:
        page = s3().call_s3("list_objects_v2", **request)
        yield page
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]
