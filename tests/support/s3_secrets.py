"""Credentials that a test can search for, and where it searches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ACCESS_KEY = "AKIAFACEGPTTESTSONLY"
SECRET_KEY = "kV9wTq2mXz7LrB4nHs8YpD1cJf6GaE3u/0+test"


def environment(endpoint: str) -> dict[str, str]:
    """The variables by which any S3 client finds `endpoint` with these keys."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def leaks(texts: Iterable[tuple[str, bytes]], keys: Iterable[str] = (ACCESS_KEY, SECRET_KEY)) -> list[str]:
    """The names of those texts that hold a key."""
    wanted = [key.encode() for key in keys]
    return [name for name, text in texts if any(key in text for key in wanted)]


def files_below(folder: Path) -> Iterable[tuple[str, bytes]]:
    """Every file below a folder with its bytes."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
