"""Kinds of files, by their names."""

from __future__ import annotations

from pathlib import PurePosixPath

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
"""Every file with one of these, in upper or lower case, is an input and gets a row in the ledger, readable or not."""
LIST_EXTENSIONS = (".txt", ".csv", ".parquet")
COMPRESSED_TAR_EXTENSIONS = (
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tzst",
    ".tar.lz4",
    ".tar.z",
)
UNPACK_ADVICE = (
    "a compressed tar cannot be read in pieces: unpack it to a plain .tar first, for instance with `gunzip`"
)


def is_image(name: str) -> bool:
    """Tells whether a file is an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS


def is_tar(name: str) -> bool:
    """Tells whether a file is a plain tar."""
    return name.lower().endswith(".tar")


def is_parquet(name: str) -> bool:
    """Tells whether a file is a Parquet file."""
    return name.lower().endswith(".parquet")


def is_compressed_tar(name: str) -> bool:
    """Tells whether a file is a compressed tar."""
    return name.lower().endswith(COMPRESSED_TAR_EXTENSIONS)


def is_container(name: str) -> bool:
    """Tells whether a file may hold images; so do compressed tars, which cannot be read and fail with a reason."""
    return is_tar(name) or is_parquet(name) or is_compressed_tar(name)
