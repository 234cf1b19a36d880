"""Listing the input: a folder, one image, an S3 prefix, or a list of URIs in a .txt, .csv or .parquet file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.storage import S3, Entry, from_local, is_s3, local_path, normalize, s3

IMAGE_EXTENSIONS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".webp",
        ".avif",
        ".heic",
        ".heif",
        ".hif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".tga",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]
)
"""Every file with one of these (in any case) is an input, and gets a row in the ledger, readable or not."""
LIST_EXTENSIONS = (".txt", ".csv", ".parquet")
URI_COLUMNS = ("uri", "url", "path", "file", "filename", "image")


@dataclass(frozen=True)
class Listing:
    """The images of an input, sorted by URI, and how many files were left out since their extension is no image's."""

    images: list[Entry]
    ignored: int


def list_images(location: str, output: str | None = None, limit: int | None = None) -> Listing:
    """Lists `location`; files below `output` are left out, so that an output inside its input is not its own input.

    Raises:
        UsageError: it does not exist, cannot be reached, or holds no image.
    """
    uri = normalize(location)
    try:
        listing = _list_s3(uri) if is_s3(uri) else _list_local(uri)
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(f"cannot read {location}: {describe(error)}") from error
    images, ignored = listing.images, listing.ignored
    if output is not None:
        inside = normalize(output) + "/"
        images = [entry for entry in images if not entry.uri.startswith(inside)]
    if not images:
        others = f" ({ignored:,} files with other extensions)" if ignored else ""
        raise UsageError(f"no image in {location}{others}")
    images = sorted(set(images), key=lambda entry: entry.uri)
    return Listing(images[:limit], ignored)


def describe(error: Exception) -> str:
    """An exception as one line for people."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS


def _list_local(uri: str) -> Listing:
    path = local_path(uri)
    if os.path.isdir(path):
        return _gather(_walk(path))
    if not os.path.exists(path):
        raise UsageError(f"there is no file or folder {path}")
    if path.lower().endswith(LIST_EXTENSIONS):
        with open(path, "rb") as file:
            return _list_named(_uris_of(path, file.read()), os.path.dirname(path))
    if not is_image(path):
        raise UsageError(f"{path} is neither an image nor a list of images ({', '.join(LIST_EXTENSIONS)})")
    return Listing([_stat(path)], 0)


def _walk(path: str) -> Iterator[Entry | None]:
    def fail(error: OSError) -> None:
        raise UsageError(f"cannot read the folder {error.filename}: {error.strerror}")

    for folder, folders, names in os.walk(path, onerror=fail):
        folders.sort()
        for name in names:
            yield _stat(os.path.join(folder, name)) if is_image(name) else None


def _stat(path: str) -> Entry:
    """A file that cannot be examined (a dangling link) is listed all the same, and fails when it is read."""
    try:
        status = os.stat(path)
    except OSError:
        return Entry(from_local(path), None, None)
    return Entry(from_local(path), status.st_size, str(status.st_mtime_ns))


def _list_s3(uri: str) -> Listing:
    path = uri[len(S3) :]
    if uri.lower().endswith(LIST_EXTENSIONS) and s3().isfile(path):
        return _list_named(_uris_of(uri, s3().cat_file(path)), uri.rsplit("/", 1)[0])
    found = s3().find(path, detail=True)
    if not found:
        raise UsageError(f"there is nothing at {uri}")
    # `find` answers for every key that starts with the text, also for photos2/ when asked for photos.
    inside = {name: info for name, info in found.items() if name == path or name.startswith(path + "/")}
    return _gather(
        Entry(S3 + name, info.get("size"), str(info.get("ETag", "")).strip('"') or None)
        if is_image(name)
        else None
        for name, info in inside.items()
    )


def _gather(entries: Iterable[Entry | None]) -> Listing:
    images, ignored = [], 0
    for entry in entries:
        if entry is None:
            ignored += 1
        else:
            images.append(entry)
    return Listing(images, ignored)


def _uris_of(name: str, data: bytes) -> list[str]:
    try:
        if name.lower().endswith(".parquet"):
            return _column_of(name, pq.read_table(io.BytesIO(data)))
        text = data.decode("utf-8-sig")
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the list {name}: {describe(error)}") from None
    if name.lower().endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(text)))
        header = list(rows[0]) if rows else []
        return _column_of(
            name, pa.table({key: [row[key] for row in rows] for key in header if key is not None})
        )
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _column_of(name: str, table: pa.Table) -> list[str]:
    texts = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    wanted = next(
        (column for column in URI_COLUMNS if column in texts), texts[0] if len(texts) == 1 else None
    )
    if wanted is None:
        raise UsageError(f"the list {name} has no column of URIs; name it 'uri'")
    return [value for value in table[wanted].to_pylist() if value]


def _list_named(uris: list[str], folder: str) -> Listing:
    """Every line of a list is an input, whatever its extension; relative paths start at the list's folder."""

    def entry(uri: str) -> Entry:
        absolute = normalize(uri if "://" in uri or os.path.isabs(uri) else f"{folder}/{uri}")
        if not is_s3(absolute):
            return _stat(local_path(absolute))
        try:
            info = s3().info(absolute[len(S3) :])
        except FileNotFoundError:
            return Entry(absolute, None, None)
        return Entry(absolute, info.get("size"), str(info.get("ETag", "")).strip('"') or None)

    with ThreadPoolExecutor(16) as pool:
        return Listing(list(pool.map(entry, uris)), 0)
