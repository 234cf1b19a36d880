"""What a file is by its name."""

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
"""Every file with one of these (in any case) is an input, and gets a row in the ledger, readable or not."""
LIST_EXTENSIONS = (".txt", ".csv", ".parquet")
PACKED_EXTENSIONS = (
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
UNPACK = (
    "a compressed tar cannot be read in pieces: unpack it to a plain .tar first, for instance with `gunzip`"
)


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS


def is_tar(name: str) -> bool:
    return name.lower().endswith(".tar")


def is_parquet(name: str) -> bool:
    return name.lower().endswith(".parquet")


def is_packed(name: str) -> bool:
    """Whether it is a compressed tar."""
    return name.lower().endswith(PACKED_EXTENSIONS)


def is_container(name: str) -> bool:
    """Whether it may hold images, or is a mistake for something that does."""
    return is_tar(name) or is_parquet(name) or is_packed(name)
