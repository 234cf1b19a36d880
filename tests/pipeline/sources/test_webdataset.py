"""Tars as an input: entries, captions, damage, names, and what comes out when they are fetched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from listing import listed
from tars import tar_bytes, write_tar

from pipeline.errors import UsageError
from pipeline.sources import Fetcher, Listing
from pipeline.sources.fetch import CAPTION_CHARACTERS
from pipeline.sources.ranges import stat_uri
from pipeline.sources.webdataset import MAX_SAMPLE_IMAGES, _entries, sample_key
from pipeline.storage.locations import Entry

FETCH = Fetcher(10_000)


def said(entries: list[Entry]) -> dict[str, tuple[bytes, str | None]]:
    """What is fetched, by the name in the tar."""
    got = {entry.uri.rpartition("!/")[2]: FETCH(entry) for entry in entries}
    return {name: (one.data, one.caption) for name, one in got.items()}


def test_each_image_is_an_entry_that_reads_exactly_its_bytes(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar", [("x/1.jpg", b"one"), ("x/2.PNG", b"twos"), ("x/2.cls", b"7"), ("3.mp4", b"-")]
    )
    listing = Listing(str(path))
    entries = [entry for chunk in listing for entry in chunk]
    mtime = path.stat().st_mtime_ns
    assert entries == [
        Entry(f"{path}!/x/1.jpg", 3, f"{mtime}@512"),
        Entry(f"{path}!/x/2.PNG", 4, f"{mtime}@1536"),
    ]
    assert listing.counts.other_files == 2
    assert said(entries) == {"x/1.jpg": (b"one", None), "x/2.PNG": (b"twos", None)}


def test_captions_come_from_the_files_of_the_same_key(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("1.jpg", b"1"),
            ("1.txt", "  ünï \n".encode()),
            ("2.json", json.dumps({"caption": "from json", "url": "x"}).encode()),
            ("2.png", b"2"),
            ("3.json", json.dumps({"text": "json"}).encode()),
            ("3.left.jpg", b"3l"),
            ("3.right.jpg", b"3r"),
            ("3.txt", b"text wins"),
            ("4.jpg", b"4"),
            ("4.json", b"{no json"),
            ("5.jpg", b"5"),
            ("5.json", b'["a", "list"]'),
            ("6.jpg", b"6"),
            ("6.txt", b"x" * 100_000),
            ("7.txt", b"of another"),
            ("8.jpg", b"8"),
            ("dir/8.txt", b"of another folder"),
            ("9.jpg", b"9"),
            ("9.json", b'{"caption": 7, "text": null}'),
            ("9/0.jpg", b"10"),
            ("9/0.txt", b"\xff broken"),
        ],
    )
    captions = {name: caption for name, (_, caption) in said(listed(path)).items()}
    assert captions == {
        "1.jpg": "ünï",
        "2.png": "from json",
        "3.left.jpg": "text wins",
        "3.right.jpg": "text wins",
        "4.jpg": None,
        "5.jpg": None,
        "6.jpg": "x" * CAPTION_CHARACTERS,
        "8.jpg": None,
        "9.jpg": None,
        "9/0.jpg": "� broken",
    }


def test_a_caption_far_from_its_image_is_read_by_itself(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.jpg", b"1"), ("1.raw", b"x" * 600_000), ("1.txt", b"far")])
    assert said(listed(path)) == {"1.jpg": (b"1", "far")}


@pytest.mark.parametrize(
    ("name", "key"),
    [(b"a/b.c/d.e.jpg", b"a/b.c/d"), (b".hidden.jpg", b".hidden"), (b"a", b"a"), (b"d/", b"d/")],
)
def test_the_key_ends_at_the_first_dot_of_the_last_part(name: bytes, key: bytes) -> None:
    assert sample_key(name) == key


def test_a_tar_of_one_endless_sample_is_not_held_in_memory(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [(f"same.{number}.jpg", b"x") for number in range(200)])
    assert len(listed(path)) == 200
    data, furthest = path.read_bytes(), [0]

    def read(offset: int, length: int) -> bytes:
        furthest[0] = max(furthest[0], offset)
        return data[offset : offset + length]

    next(_entries(stat_uri(str(path)), read, len(data)))
    assert furthest[0] <= 1024 * MAX_SAMPLE_IMAGES


def test_damage_is_a_row_of_its_own_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    whole = tar_bytes([("1.jpg", b"one"), ("2.jpg", b"x" * 700), ("3.jpg", b"three")])
    path = tmp_path / "a.tar"
    path.write_bytes(whole[:1800])
    first, damaged = listed(path)
    assert FETCH(first).data == b"one"
    assert damaged.uri == f"{path}!/2.jpg"
    with pytest.raises(
        ValueError, match=r"the tar is damaged at byte 1,024: cut off in the middle of this member"
    ):
        FETCH(damaged)
    path.write_bytes(whole[:1024] + b"\1" * 512 + whole[1536:])
    first, damaged = listed(path)
    assert damaged.uri == f"{path}!/(damaged at byte 1024)"
    with pytest.raises(ValueError, match="no tar header where one should be; what follows in it is not read"):
        FETCH(damaged)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>" * 200, "no tar header where one should be"),
        (tar_bytes([]), "no image in"),
        (
            tar_bytes([("a.txt", b"x"), ("b.json", b"{}")]),
            r"no image in .* \(2 files with other extensions\)",
        ),
    ],
)
def test_a_tar_without_images_is_one_clear_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        listed(tmp_path / "a.tar")
    assert "\n" not in str(caught.value)
    assert "a.tar" in str(caught.value)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.zst"])
def test_a_compressed_tar_says_unpack_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(UsageError, match=f"{name}: a compressed tar .* unpack it"):
        listed(tmp_path / name)
    (tmp_path / "b.jpg").write_bytes(b"x")
    entry = next(entry for entry in listed(tmp_path) if entry.uri.endswith(name))
    with pytest.raises(ValueError, match="unpack it"):
        FETCH(entry)


def test_names_that_would_leave_the_folder_are_only_names(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("../../b.jpg", b"1"), ("/abs/c.jpg", b"2"), ("./d!/e.jpg", b"3")])
    before = sorted(tmp_path.rglob("*"))
    entries = listed(path)
    assert [entry.uri for entry in entries] == [
        f"{path}!/../../b.jpg",
        f"{path}!//abs/c.jpg",
        f"{path}!/d%21/e.jpg",
    ]
    assert [FETCH(entry).data for entry in entries] == [b"1", b"2", b"3"]
    assert sorted(tmp_path.rglob("*")) == before


def test_names_and_folders_in_other_encodings_are_read(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9!"))
    folder.mkdir()
    data = tar_bytes([("X.jpg", b"1"), ("u b%.jpg", b"2")]).replace(b"X.jpg", b"\xe9.jpg")
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    (folder / "a!.tar").write_bytes(bytes(header) + data[512:])
    entries = listed(folder)
    assert [FETCH(entry).data for entry in entries] == [b"1", b"2"]
    assert [entry.uri.encode().rpartition(b"!/")[2] for entry in entries] == [b"%5Cxe9.jpg", b"u%20b%25.jpg"]


def test_a_folder_of_tars_and_images_gives_all_of_them_in_the_same_order_each_time(tmp_path: Path) -> None:
    for number in range(12):
        write_tar(tmp_path / f"{number:02d}.tar", [(f"{inner}.jpg", b"x") for inner in range(3)])
    (tmp_path / "05.jpg").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    write_tar(tmp_path / "out" / "meshes.tar", [("a.jpg", b"x")])
    entries = listed(tmp_path, output=str(tmp_path / "out"))
    assert len(entries) == len(set(entries)) == 37
    assert all(listed(tmp_path, output=str(tmp_path / "out")) == entries for _ in range(3))
    by_name = [entry.uri for entry in listed(tmp_path, limit=17)]
    assert by_name == sorted(entry.uri for entry in entries)[:17]


def test_a_member_above_the_bound_and_a_tar_that_changed_fail(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.jpg", b"x" * 10_001), ("2.jpg", b"2")])
    large, small = listed(path)
    with pytest.raises(ValueError, match=r"larger than 10,000 bytes \(decode.max_bytes\)"):
        FETCH(large)
    os.utime(path, ns=(1, 2))
    with pytest.raises(ValueError, match="the tar was changed since it was listed"):
        FETCH(small)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        FETCH(small)
