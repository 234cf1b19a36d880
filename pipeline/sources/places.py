"""Where the bytes of an image lie, as its `uri` and `etag` say it: so the manifest needs no column for it.

A whole file has the file's own etag. What lies in a container has the uri `CONTAINER!/INNER`, and for its etag that of
the container, an `@`, and the place: `@OFFSET` in a tar (then `,txt@OFFSET+LENGTH` or `,json@...`: the text beside it),
`@GROUP.ROW` in a Parquet file. `@OFFSET!REASON` is a place that cannot be read: its row in the ledger fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from pipeline.storage.locations import FILE, Entry

MARK = "!/"
REASON_LENGTH = 300
_PLACE = re.compile(
    r"(?P<etag>.*)@(?:(?P<group>\d+)\.(?P<row>\d+)"
    r"|(?P<offset>\d+)(?:,(?P<kind>txt|json)@(?P<text>\d+)\+(?P<length>\d+))?(?P<reason>!.*)?)",
    re.DOTALL,
)


@dataclass(frozen=True)
class WholeFile:
    """The file is the image."""


@dataclass(frozen=True)
class Text:
    """The text beside an image in a tar: `kind` is txt or json, the rest a range of bytes of the tar."""

    kind: str
    offset: int
    length: int


@dataclass(frozen=True)
class TarMember:
    """A range of bytes of the tar `uri`, which had this `etag`, and the text that belongs to it."""

    uri: str
    etag: str
    offset: int
    text: Text | None


@dataclass(frozen=True)
class ParquetCell:
    """A row of a row group of the Parquet file `uri`, which had this `etag`; `row` counts within the group."""

    uri: str
    etag: str
    group: int
    row: int


@dataclass(frozen=True)
class Unreadable:
    """Something that is there and cannot be read; the ledger gets the reason."""

    reason: str


Place = WholeFile | TarMember | ParquetCell | Unreadable


def place_of(entry: Entry) -> Place:
    """The place that an entry stands for."""
    found = _PLACE.fullmatch(entry.etag or "")
    if found is None:
        return WholeFile()
    if found["reason"]:
        return Unreadable(found["reason"][1:])
    container, mark, _ = entry.uri.rpartition(MARK)
    if not mark:
        return WholeFile()
    if found["group"]:
        return ParquetCell(container, found["etag"], int(found["group"]), int(found["row"]))
    text = Text(found["kind"], int(found["text"]), int(found["length"])) if found["kind"] else None
    return TarMember(container, found["etag"], int(found["offset"]), text)


def tar_member(container: Entry, name: bytes, offset: int, size: int, text: Text | None) -> Entry:
    """The entry of an image in a tar."""
    beside = f",{text.kind}@{text.offset}+{text.length}" if text else ""
    return Entry(inner_uri(container.uri, _name(name)), size, f"{container.etag or ''}@{offset}{beside}")


def parquet_cell(container: Entry, number: int, group: int, row: int) -> Entry:
    """The entry of a row of a Parquet file: `number` counts from its start, `row` from that of the group."""
    return Entry(inner_uri(container.uri, str(number)), None, f"{container.etag or ''}@{group}.{row}")


def unreadable(container: Entry, reason: str, offset: int = 0, name: bytes | None = None) -> Entry:
    """The entry of a place that cannot be read, in a container (`name` or `offset` say where) or the whole of it."""
    where = _name(name) if name is not None else f"(damaged at byte {offset})" if offset else ""
    uri = inner_uri(container.uri, where) if where else container.uri
    line = " ".join(reason.split())[:REASON_LENGTH]
    return Entry(uri, None, f"{container.etag or ''}@{offset}!{line}")


def inner_uri(container: str, inner: str) -> str:
    """`CONTAINER!/INNER`; the last `!/` of it is ours."""
    inner = inner.replace(MARK, "%21/")
    return f"{container}{MARK}{quote(inner) if container.startswith(FILE) else inner}"


def _name(name: bytes) -> str:
    """A member's name as text. What is not UTF-8 is escaped: the offset says where it lies, the name is for people."""
    text = name.decode("utf-8", "backslashreplace")
    return text.removeprefix("./")
