"""Tar headers (ustar, GNU long names, pax), read where they lie: nothing is unpacked, and memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK = 512
NAME_BYTES = 1 << 20
END_MARK = bytes(BLOCK)
REGULAR = b"0\x007"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, SPARSE = b"L", b"K", b"x", b"g", b"S"

Read = Callable[[int, int], bytes]
"""Reads `length` bytes from `offset`; fewer at the end of the file alone."""


@dataclass(frozen=True)
class TarMember:
    """Regular file in a tar: its name as it stands there, and the range of its bytes."""

    name: bytes
    offset: int
    size: int


class TarError(Exception):
    """Damage of a tar at byte `offset`. `name`: of the member that this cuts off, where it is one."""

    def __init__(self, reason: str, offset: int, name: bytes | None = None) -> None:
        super().__init__(reason)
        self.offset = offset
        self.name = name


def read_members(read: Read, size: int) -> Iterator[TarMember]:
    """Yields the regular files of a tar of `size` bytes, in its order.

    Raises:
        TarError: after every member that lies whole before the damage.
    """
    position = 0
    overrides: dict[str, bytes] = {}
    while True:
        if position >= size:
            reason = "ends without the mark that ends a tar: cut off" if size else "the file is empty"
            raise TarError(reason, position)
        header = read(position, BLOCK)
        if len(header) < BLOCK:
            raise TarError("cut off in the middle of a header", position)
        if header == END_MARK:
            return
        _check_sum(header, position)
        kind, start = header[156:157], position + BLOCK
        length = _read_size(overrides.pop("size", b""), header[124:136], position)
        if kind == SPARSE:
            raise TarError("holds a sparse file, which is not supported: pack it without --sparse", position)
        if kind in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
            if length > NAME_BYTES:
                raise TarError(f"a name or header of {length:,} bytes", position)
            payload = read(start, length)
            if len(payload) < length:
                raise TarError("cut off in the middle of a header", position)
            if kind == LONG_NAME:
                overrides["path"] = payload.rstrip(b"\0")
            elif kind == PAX:
                overrides.update(_parse_pax(payload, position))
        else:
            name = overrides.get("path") or _read_name(header)
            overrides = {}
            if start + length > size:
                raise TarError("cut off in the middle of this member", position, name)
            if kind in REGULAR and not name.endswith(b"/"):
                yield TarMember(name, start, length)
        position = start + -(-length // BLOCK) * BLOCK


def _check_sum(header: bytes, position: int) -> None:
    """Raises TarError unless the header has its checksum, of unsigned or, as some old tars do, of signed bytes."""
    stored = _parse_octal(header[148:156], position)
    rest = header[:148] + b" " * 8 + header[156:]
    signed = sum(rest) - 256 * sum(byte > 127 for byte in rest)
    if stored not in (sum(rest), signed):
        raise TarError("no tar header where one should be", position)


def _read_name(header: bytes) -> bytes:
    """Reads a member's name, with the prefix that ustar has for long ones."""
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _read_size(pax: bytes, field: bytes, position: int) -> int:
    """Reads a member's size: from the pax header if it has one, else octal digits, or GNU's base 256 above 8 GiB."""
    if pax:
        if not pax.isdigit() or len(pax) > 20:
            raise TarError("a size that is no number", position)
        return int(pax)
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    return _parse_octal(field, position)


def _parse_octal(field: bytes, position: int) -> int:
    """Parses octal digits, zero where there are none; raises TarError."""
    digits = field.replace(b"\0", b" ").strip()
    try:
        value = int(digits, 8) if digits else 0
    except ValueError:
        value = -1
    if value < 0:
        raise TarError("no tar header where one should be", position)
    return value


def _parse_pax(payload: bytes, position: int) -> dict[str, bytes]:
    """Parses the records `LENGTH KEY=VALUE` of a pax header, and returns those of path and size."""
    records: dict[str, bytes] = {}
    while payload.strip(b"\0"):
        digits = payload.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        key, equals, value = payload[len(digits) + 1 : length].partition(b"=")
        if not equals or not len(digits) + 1 < length <= len(payload) or value[-1:] != b"\n":
            raise TarError("a damaged pax header", position)
        if key in (b"path", b"size"):
            records[key.decode()] = value[:-1]
        payload = payload[length:]
    return records
