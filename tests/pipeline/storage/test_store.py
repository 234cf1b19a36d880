from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.storage.locations import normalize, read_uri
from pipeline.storage.store import Storage


def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    assert storage.is_empty()
    storage.write("faces/a.parquet", b"one")
    storage.write("faces/a.parquet", b"two")
    storage.write("run.json", b"{}")
    assert not storage.is_empty()
    assert storage.read("faces/a.parquet") == b"two"
    assert storage.keys() == ["faces/a.parquet", "run.json"]
    assert storage.keys("faces") == ["faces/a.parquet"]
    assert storage.keys("nowhere") == []
    assert storage.exists("run.json")
    storage.delete(["run.json", "gone"])
    assert not storage.exists("run.json")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    storage.write("a", b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pipeline.storage.store.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        storage.write("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert storage.read("a") == b"old"


def test_temporary_files_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".a.123.tmp").write_bytes(b"half")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "b").write_bytes(b"x")
    assert Storage(str(tmp_path)).keys() == []
    assert Storage(str(tmp_path)).keys(".hidden") == [".hidden/b"]
    assert Storage(str(tmp_path)).keys(hidden=True) == [".a.123.tmp", ".hidden/b"]
    assert not Storage(str(tmp_path)).is_empty()


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert len(read_uri(str(tmp_path / "a"), 100)) == 100
    with pytest.raises(ValueError, match="larger than 99 bytes"):
        read_uri(str(tmp_path / "a"), 99)
    with pytest.raises(FileNotFoundError):
        read_uri(str(tmp_path / "b"), 99)


def test_locations_are_absolute_and_without_a_trailing_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert normalize("photos/") == str(tmp_path / "photos")
    assert normalize("./photos/../photos") == str(tmp_path / "photos")
    assert normalize("s3://bucket/a/b/") == "s3://bucket/a/b"
    assert normalize("s3a://bucket/a") == "s3://bucket/a"
    with pytest.raises(UsageError, match="only local paths and s3:// URLs"):
        normalize("https://host/x")
