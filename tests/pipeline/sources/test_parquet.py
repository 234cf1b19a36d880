"""Parquet files as an input: which column, which rows, what is read, and how often."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listing import listed

from pipeline.errors import UsageError
from pipeline.sources import Fetcher
from pipeline.sources import parquet as parquet_module
from pipeline.sources.parquet import GroupReader
from pipeline.storage.locations import Entry

FETCH = Fetcher(10_000)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, columns: dict[str, Any], group: int = 2) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def test_each_row_is_an_entry_that_reads_its_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"n": range(5), "photo": [b"a", b"b", b"c", b"d", b"e"]})
    entries = listed(path)
    mtime = path.stat().st_mtime_ns
    assert entries[3] == Entry(f"{path}!/3", None, f"{mtime}@1.1")
    assert [FETCH(entry).data for entry in entries] == [b"a", b"b", b"c", b"d", b"e"]
    assert [FETCH(entry).data for entry in reversed(entries)] == [b"e", b"d", b"c", b"b", b"a"]


def test_the_layout_of_hugging_face_is_read_with_its_captions(tmp_path: Path) -> None:
    cells = [{"bytes": b"one", "path": "1.jpg"}, {"bytes": None, "path": "2.jpg"}, None]
    columns = {"image": pa.array(cells, STRUCT), "text": [" one ", "two", None], "url": ["x", "y", "z"]}
    one, two, three = listed(write(tmp_path / "a.parquet", columns))
    assert (FETCH(one).data, FETCH(one).caption) == (b"one", "one")
    for entry in (two, three):
        with pytest.raises(ValueError, match=r"the cell holds no bytes \(null\)"):
            FETCH(entry)


def test_a_cell_above_the_bound_fails_alone(tmp_path: Path) -> None:
    large, small = listed(write(tmp_path / "a.parquet", {"image": [b"x" * 10_001, b"x"]}))
    with pytest.raises(ValueError, match=r"larger than 10,000 bytes \(decode.max_bytes\)"):
        FETCH(large)
    assert FETCH(small).data == b"x"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": [1], "m": [2]}, "no column of URIs"),
        (
            {"thumb": [b"a"], "full": [b"b"]},
            r"several columns of bytes \(thumb, full\): name that of the images 'image'",
        ),
        ({"hash": [b"a"], "url": ["b"]}, r"a column of bytes \(hash\) and one of URIs \(url\)"),
        ({"image": pa.array([], pa.binary())}, "no image in"),
    ],
)
def test_what_is_not_clear_is_one_clear_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        listed(write(tmp_path / "a.parquet", columns))
    assert "\n" not in str(caught.value)


def test_the_column_called_image_is_meant_among_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"thumb": [b"a"], "image": [b"b"]})
    assert FETCH(listed(path)[0]).data == b"b"


def test_in_a_folder_it_is_opened_if_it_holds_bytes_and_fails_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": [b"a"]})
    write(tmp_path / "b.parquet", {"n": [1]})
    write(tmp_path / "c.parquet", {"hash": [b"a"], "url": ["b"]})
    (tmp_path / "d.parquet").write_bytes(b"PAR1 is how it starts")
    names = {os.path.basename(entry.uri.split("!/")[0]): entry for entry in listed(tmp_path)}
    assert sorted(names) == ["a.parquet", "c.parquet", "d.parquet"]
    assert FETCH(names["a.parquet"]).data == b"a"
    for name, reason in (("c.parquet", "not clear which is meant"), ("d.parquet", "Parquet")):
        with pytest.raises(ValueError, match=reason):
            FETCH(names[name])


def test_a_row_group_is_read_once_for_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "BATCH_BYTES", 1000)
    path = write(
        tmp_path / "a.parquet", {"image": [bytes([65 + number]) * 400 for number in range(20)]}, group=20
    )
    starts: list[int] = []
    start = GroupReader._start
    monkeypatch.setattr(GroupReader, "_start", lambda self: (starts.append(1), start(self))[1])
    fetch = Fetcher(10_000)
    entries = listed(path)
    swapped = [entry for pair in zip(entries[1::2], entries[::2], strict=True) for entry in pair]
    assert [fetch(entry).data[0] - 65 for entry in swapped] == [number ^ 1 for number in range(20)]
    assert len(starts) == 1
    assert fetch(entries[0]).data[0] == 65
    assert len(starts) == 2


def test_a_file_that_changed_since_fails(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"image": [b"a"]})
    (entry,) = listed(path)
    os.utime(path, ns=(1, 2))
    with pytest.raises(ValueError, match="changed since it was listed"):
        Fetcher(10)(entry)
