"""Small tars in the test's own words."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def tar_bytes(members: list[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar with these members, in this order; a name may be there twice."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=kind) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT) -> Path:
    path.write_bytes(tar_bytes(members, kind))
    return path
