"""The digest of a checkpoint, over the files that make it up. Imports no torch: a run asks before any worker starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

DIGESTED = ("*.json", "*.jinja", "*.safetensors")
"""A checkpoint's configuration, chat template and weights."""


def file_sha256(path: Path) -> str:
    """Computes the sha256 of a file, in hex digits, without holding it in memory; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoint_sha256(folder: Path) -> dict[str, str]:
    """Computes the sha256 of each file that makes up the checkpoint in `folder`; by name, in the order of names."""
    paths = sorted(path for kind in DIGESTED for path in folder.glob(kind))
    return {path.name: file_sha256(path) for path in paths}


def digest_of(sha256: Mapping[str, str]) -> str:
    """Combines the hashes of `checkpoint_sha256` into one, over the names and contents of the files."""
    total = hashlib.sha256()
    for name, value in sha256.items():
        total.update(name.encode() + b"\0" + bytes.fromhex(value))
    return total.hexdigest()


def digest(folder: Path) -> str:
    """Computes the sha256 over the names and contents of a checkpoint's files."""
    return digest_of(checkpoint_sha256(folder))
