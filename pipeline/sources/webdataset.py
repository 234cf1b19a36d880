"""Listing the images of a tar with their sidecars, in WebDataset's layout: the files of one sample share their key."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.sources.locators import Sidecar, tar_entry, unreadable_entry
from pipeline.sources.names import is_image
from pipeline.sources.ranges import RangeReader, ReadAheadBuffer
from pipeline.sources.tar import Read, TarError, TarMember, read_members
from pipeline.storage.locations import Entry

MAX_SAMPLE_IMAGES = 64
SIDECAR_KINDS = {b".txt": "txt", b".json": "json"}
JSON_BYTES = 1 << 20
TXT_BYTES = 1 << 16


def list_tar(container: Entry) -> Iterator[Entry | None]:
    """Yields the images of a tar in its order, None for every other file. Damage ends it, and is an entry of its own.

    Raises:
        OSError: the tar cannot be opened or read.
    """
    with RangeReader(container.uri) as reader:
        size = container.size if container.size is not None else reader.stat().size or 0
        yield from _entries(container, ReadAheadBuffer(reader, size).read, size)


def _entries(container: Entry, read: Read, size: int) -> Iterator[Entry | None]:
    """Yields what `list_tar` yields; a sample's images are held back until its sidecar is known."""
    sample: list[TarMember] = []
    key, sidecar = b"", None
    damage: Entry | None = None
    members = read_members(read, size)
    while True:
        try:
            member = next(members, None)
        except TarError as error:
            member, damage = None, _damage_entry(container, error)
        # A sample ends where the key changes; one of very many files is no sample, and is not waited for.
        if member is None or sample_key(member.name) != key or len(sample) == MAX_SAMPLE_IMAGES:
            yield from (
                tar_entry(container, image.name, image.offset, image.size, sidecar) for image in sample
            )
            sample, sidecar = [], None
        if member is None:
            break
        key = sample_key(member.name)
        if is_image(os.fsdecode(member.name)):
            sample.append(member)
            continue
        yield None
        candidate = _sidecar(member, key)
        if candidate is not None and (sidecar is None or candidate.kind == "txt"):
            sidecar = candidate
    if damage is not None:
        yield damage


def sample_key(name: bytes) -> bytes:
    """Returns the key of a member's sample: its name up to the first dot of the last part."""
    folder, slash, last = name.rpartition(b"/")
    return folder + slash + last[:1] + last[1:].partition(b".")[0]


def _sidecar(member: TarMember, key: bytes) -> Sidecar | None:
    """Returns a member as the sidecar of the sample `key`, cut to `TXT_BYTES`; None if it is none."""
    kind = SIDECAR_KINDS.get(member.name[len(key) :].lower())
    if kind is None or (kind == "json" and member.size > JSON_BYTES):
        return None
    return Sidecar(kind, member.offset, min(member.size, TXT_BYTES) if kind == "txt" else member.size)


def _damage_entry(container: Entry, error: TarError) -> Entry:
    """Makes the entry for a tar's damage: the image that it cuts off, or the place."""
    name = error.name if error.name is not None and is_image(os.fsdecode(error.name)) else None
    reason = f"the tar is damaged at byte {error.offset:,}: {error}; what follows in it is not read"
    return unreadable_entry(container, reason, error.offset, name)
