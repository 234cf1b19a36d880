"""Tar headers as GNU tar, pax and ustar write them, and every kind of damage."""

from __future__ import annotations

import io
import tarfile

import pytest
from tars import tar_bytes

from pipeline.sources.tar import TarError, TarMember, read_members

LONG = "folder/" * 30 + "photo.jpg"
STRANGE = "ünï/photo.jpg"


def found(data: bytes) -> list[TarMember]:
    return list(read_members(lambda offset, length: data[offset : offset + length], len(data)))


def until_damage(data: bytes) -> tuple[list[TarMember], TarError]:
    whole: list[TarMember] = []
    source = read_members(lambda offset, length: data[offset : offset + length], len(data))
    with pytest.raises(TarError) as caught:
        whole.extend(source)
    return whole, caught.value


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_tarfile_finds_them(kind: int) -> None:
    long = "a/" * 60 + "b.jpg" if kind == tarfile.USTAR_FORMAT else LONG
    data = tar_bytes([("a.jpg", b"x" * 513), (long, b""), (STRANGE, b"y" * 1024), ("b.txt", b"z")], kind)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [TarMember(one.name.encode(), one.offset_data, one.size) for one in tar]
    assert found(data) == expected
    assert [member.name.decode() for member in found(data)] == ["a.jpg", long, STRANGE, "b.txt"]


def test_folders_and_links_are_passed_over() -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("s.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "l" * 150
            tar.addfile(member)
        member = tarfile.TarInfo("a.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    assert [member.name for member in found(sink.getvalue())] == [b"a.jpg"]


def test_a_size_in_base_256_and_one_in_a_pax_header_are_read() -> None:
    large = 9 * 2**30
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        member = tarfile.TarInfo("a.jpg")
        member.size = large
        header = member.tobuf(format=kind)
        one = next(
            read_members(lambda offset, length, header=header: header[offset : offset + length], 2 * large)
        )  # type: ignore[misc]
        assert (one.size, one.offset) == (large, len(header))


def test_names_that_would_leave_the_folder_are_names() -> None:
    data = tar_bytes([("../../etc/a.jpg", b"1"), ("/abs/b.jpg", b"2")])
    assert [member.name for member in found(data)] == [b"../../etc/a.jpg", b"/abs/b.jpg"]


def test_an_empty_tar_has_no_members_and_an_empty_file_is_no_tar() -> None:
    assert found(tar_bytes([])) == []
    assert "empty" in str(until_damage(b"")[1])


@pytest.mark.parametrize(
    ("cut", "reason", "name"),
    [
        (512 + 300, "cut off in the middle of this member", b"a.jpg"),
        (1024, "ends without the mark", None),
        (1024 + 100, "cut off in the middle of a header", None),
        (1024 + 512 + 5, "cut off in the middle of this member", b"b.jpg"),
        (2560, "ends without the mark", None),
    ],
)
def test_a_tar_that_is_cut_off_gives_what_lies_before(cut: int, reason: str, name: bytes | None) -> None:
    data = tar_bytes([("a.jpg", b"x" * 400), ("b.jpg", b"y" * 1000)])
    whole, error = until_damage(data[:cut])
    assert [member.name for member in whole] == [b"a.jpg", b"b.jpg"][: (cut >= 1024) + (cut >= 2560)]
    assert reason in str(error)
    assert error.name == name
    assert error.offset <= cut


def test_every_flipped_byte_of_a_header_is_seen_or_harmless() -> None:
    data = tar_bytes([("a.jpg", b"x"), ("b.jpg", b"y")])
    for place in range(1024, 1536):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        whole, error = until_damage(bytes(damaged))
        assert [member.name for member in whole] == [b"a.jpg"]
        assert error.offset == 1024


@pytest.mark.parametrize("payload", [b"9999 path=a\n", b"5 path", b"x", b"12 path=abcd", b"0 =\n"])
def test_a_damaged_pax_header_is_damage(payload: bytes) -> None:
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, len(payload)
    data = member.tobuf(tarfile.USTAR_FORMAT) + payload.ljust(512, b"\0") + tar_bytes([("a.jpg", b"x")])
    assert until_damage(data)[0] == []


def test_a_name_of_a_gigabyte_is_not_read() -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**30
    asked = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return member.tobuf(tarfile.GNU_FORMAT)[offset : offset + length]

    with pytest.raises(TarError, match="1,073,741,824 bytes"):
        list(read_members(read, 2**31))
    assert max(asked) == 512
