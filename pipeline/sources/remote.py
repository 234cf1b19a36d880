"""Listing an S3 prefix page by page; several subfolders at once where there are several."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.sources.ahead import chunks, interleaved
from pipeline.sources.blobs import etag_of
from pipeline.sources.names import is_container, is_image
from pipeline.storage.locations import S3, Entry, s3

PAGE = 1000
PREFIXES_AT_ONCE = 8


def walked(uri: str, inside: str | None = None, sequential: bool = False) -> Iterator[list[Entry | None]]:
    """The images and containers below a prefix, None for every other object; what lies below `inside` is left out.

    Args:
        uri: s3://BUCKET or s3://BUCKET/PREFIX.
        inside: a prefix.
        sequential: by key. Otherwise, where the prefix has few enough subfolders, a thousand of each in turn, which
            is several times as fast and the same every time, too.
    """
    bucket, key, _ = s3().split_path(uri[len(S3) :])
    prefix = f"{key}/" if key else ""
    keep = partial(_entry, bucket, f"{inside}/" if inside else None)
    folders: list[str] = []
    if not sequential and next(_pages(bucket, prefix), {}).get("IsTruncated"):
        prefix, folders = _subfolders(bucket, prefix)
    if len(folders) < 2:
        yield from chunks(keep(item) for item in _objects(bucket, prefix))
        return
    yield from chunks(keep(item) for item in _objects(bucket, prefix, delimiter="/"))
    makers = [partial(_kept, keep, bucket, folder) for folder in folders]
    yield from interleaved(makers, PREFIXES_AT_ONCE)


def _subfolders(bucket: str, prefix: str) -> tuple[str, list[str]]:
    """The subfolders of a prefix, or of the one that everything lies in; none if there are more than a page of them."""
    while True:
        page = next(_pages(bucket, prefix, delimiter="/"), {})
        folders = [str(item["Prefix"]) for item in page.get("CommonPrefixes", [])]
        if page.get("IsTruncated"):
            return prefix, []
        if len(folders) != 1 or page.get("Contents"):
            return prefix, folders
        prefix = folders[0]


def _kept(keep: Any, bucket: str, prefix: str) -> Iterator[Entry | None]:
    return (keep(item) for item in _objects(bucket, prefix))


def _entry(bucket: str, inside: str | None, item: dict[str, Any]) -> Entry | None:
    uri = f"{S3}{bucket}/{item['Key']}"
    if not (is_image(uri) or is_container(uri)) or (inside is not None and uri.startswith(inside)):
        return None
    return Entry(uri, item["Size"], etag_of(item))


def _objects(bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
    for page in _pages(bucket, prefix, delimiter):
        yield from page.get("Contents", [])


def _pages(bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """Each page by a call of its own, which s3fs tries again when the store is busy."""
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": PAGE}
    if delimiter:
        asked["Delimiter"] = delimiter
    while True:
        page = s3().call_s3("list_objects_v2", **asked)
        yield page
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]
