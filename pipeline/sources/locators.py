"""Locators: where the bytes of an image lie, encoded in its `uri` and `etag`, so that the manifest needs no column.

A whole file has its own etag. What lies in a container has the uri `CONTAINER!/INNER`, and for its etag that of the
container, an `@`, and the place in it: `@OFFSET` in a tar (then `,txt@OFFSET+LENGTH` or `,json@...`: its sidecar, a
text that lies beside it), `@GROUP.ROW` in a Parquet file. `@OFFSET!REASON` cannot be read: its row in the ledger fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from pipeline.storage.locations import FILE, Entry

MEMBER_SEPARATOR = "!/"
REASON_LENGTH = 300
_LOCATOR = re.compile(
    r"(?P<etag>.*)@(?:(?P<group>\d+)\.(?P<row>\d+)"
    r"|(?P<offset>\d+)(?:,(?P<kind>txt|json)@(?P<text>\d+)\+(?P<length>\d+))?(?P<reason>!.*)?)",
    re.DOTALL,
)


@dataclass(frozen=True)
class FileLocator:
    """Locator of a whole file."""


@dataclass(frozen=True)
class Sidecar:
    """Text that lies beside an image in a tar: `kind` is txt or json, the rest a range of bytes of the tar."""

    kind: str
    offset: int
    length: int


@dataclass(frozen=True)
class TarLocator:
    """Locator of a member of the tar `uri`, which had this `etag`: the offset of its bytes, and its sidecar."""

    uri: str
    etag: str
    offset: int
    sidecar: Sidecar | None


@dataclass(frozen=True)
class ParquetLocator:
    """Locator of a cell of the Parquet file `uri`, which had this `etag`; `row` counts within the row group."""

    uri: str
    etag: str
    group: int
    row: int


@dataclass(frozen=True)
class UnreadableLocator:
    """Locator of something that cannot be read; the ledger gets the reason."""

    reason: str


Locator = FileLocator | TarLocator | ParquetLocator | UnreadableLocator


def parse_locator(entry: Entry) -> Locator:
    """Decodes the locator in an entry's `uri` and `etag`."""
    match = _LOCATOR.fullmatch(entry.etag or "")
    if match is None:
        return FileLocator()
    if match["reason"]:
        return UnreadableLocator(match["reason"][1:])
    container, separator, _ = entry.uri.rpartition(MEMBER_SEPARATOR)
    if not separator:
        return FileLocator()
    if match["group"]:
        return ParquetLocator(container, match["etag"], int(match["group"]), int(match["row"]))
    kind = match["kind"]
    sidecar = Sidecar(kind, int(match["text"]), int(match["length"])) if kind else None
    return TarLocator(container, match["etag"], int(match["offset"]), sidecar)


def tar_entry(container: Entry, name: bytes, offset: int, size: int, sidecar: Sidecar | None) -> Entry:
    """Makes the entry of an image in a tar: the member's name, and the offset and size of its bytes."""
    suffix = f",{sidecar.kind}@{sidecar.offset}+{sidecar.length}" if sidecar else ""
    uri = inner_uri(container.uri, _decode_name(name))
    return Entry(uri, size, f"{container.etag or ''}@{offset}{suffix}")


def parquet_entry(container: Entry, number: int, group: int, row: int) -> Entry:
    """Makes the entry of a row of a Parquet file: `number` counts from its start, `row` from that of the group."""
    return Entry(inner_uri(container.uri, str(number)), None, f"{container.etag or ''}@{group}.{row}")


def unreadable_entry(container: Entry, reason: str, offset: int = 0, name: bytes | None = None) -> Entry:
    """Makes the entry of something in a container (at `offset`, or the member `name`) that cannot be read.

    Without `offset` and `name` it is the whole container.
    """
    inner = _decode_name(name) if name is not None else f"(damaged at byte {offset})" if offset else ""
    uri = inner_uri(container.uri, inner) if inner else container.uri
    line = " ".join(reason.split())[:REASON_LENGTH]
    return Entry(uri, None, f"{container.etag or ''}@{offset}!{line}")


def inner_uri(container: str, inner: str) -> str:
    """Joins `CONTAINER!/INNER`; a `!/` in the inner name is quoted, so that the last one is the separator."""
    inner = inner.replace(MEMBER_SEPARATOR, "%21/")
    return f"{container}{MEMBER_SEPARATOR}{quote(inner) if container.startswith(FILE) else inner}"


def _decode_name(name: bytes) -> str:
    """Decodes a member's name; bytes that are not UTF-8 are escaped: the offset finds the member, the name is shown."""
    text = name.decode("utf-8", "backslashreplace")
    return text.removeprefix("./")
