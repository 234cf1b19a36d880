"""The images of a tar, with the text beside each: WebDataset's layout, where files of one sample share their key."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.sources.blobs import Blob, Window
from pipeline.sources.names import is_image
from pipeline.sources.places import Text, tar_member, unreadable
from pipeline.sources.tar import Member, Read, TarError, members
from pipeline.storage.locations import Entry

MOST_OF_A_SAMPLE = 64
TEXT_KINDS = {b".txt": "txt", b".json": "json"}
JSON_BYTES = 1 << 20
TXT_BYTES = 1 << 16


def tar_images(container: Entry) -> Iterator[Entry | None]:
    """The images of a tar in its order, None for every other file. Damage ends it, and is an entry of its own.

    Raises:
        OSError: the tar cannot be opened or read.
    """
    with Blob(container.uri) as blob:
        size = container.size if container.size is not None else blob.entry().size or 0
        yield from _entries(container, Window(blob, size).read, size)


def _entries(container: Entry, read: Read, size: int) -> Iterator[Entry | None]:
    sample: list[Member] = []
    key, text = b"", None
    damage: Entry | None = None
    found = members(read, size)
    while True:
        try:
            member = next(found, None)
        except TarError as error:
            member, damage = None, _damage(container, error)
        # A sample ends where the key changes; one of very many files is no sample, and is not waited for.
        if member is None or sample_key(member.name) != key or len(sample) == MOST_OF_A_SAMPLE:
            yield from (tar_member(container, one.name, one.offset, one.size, text) for one in sample)
            sample, text = [], None
        if member is None:
            break
        key = sample_key(member.name)
        if is_image(os.fsdecode(member.name)):
            sample.append(member)
            continue
        yield None
        said = _text(member, key)
        if said is not None and (text is None or said.kind == "txt"):
            text = said
    if damage is not None:
        yield damage


def sample_key(name: bytes) -> bytes:
    """The name up to the first dot of its last part."""
    folder, slash, last = name.rpartition(b"/")
    return folder + slash + last[:1] + last[1:].partition(b".")[0]


def _text(member: Member, key: bytes) -> Text | None:
    kind = TEXT_KINDS.get(member.name[len(key) :].lower())
    if kind is None or (kind == "json" and member.size > JSON_BYTES):
        return None
    return Text(kind, member.offset, min(member.size, TXT_BYTES) if kind == "txt" else member.size)


def _damage(container: Entry, error: TarError) -> Entry:
    name = error.name if error.name is not None and is_image(os.fsdecode(error.name)) else None
    reason = f"the tar is damaged at byte {error.offset:,}: {error}; what follows in it is not read"
    return unreadable(container, reason, error.offset, name)
