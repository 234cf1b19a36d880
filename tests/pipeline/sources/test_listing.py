from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listing import listed

from pipeline.errors import UsageError
from pipeline.sources import Listing
from pipeline.storage.locations import Entry, local_path, normalize, read_uri


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(images: list[Entry], folder: Path) -> list[str]:
    return [os.path.relpath(local_path(entry.uri), folder) for entry in images]


def test_a_folder_is_listed_to_the_bottom_by_extension(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/c.png", "a/d/e.webp", "notes.txt", "a/clip.mp4", "f.heic", "no_extension")
    listing = Listing(str(tmp_path))
    images = [entry for chunk in listing for entry in chunk]
    assert names(images, tmp_path) == ["a/c.png", "a/d/e.webp", "b.JPG", "f.heic"]
    assert (listing.counts.images, listing.counts.other_files) == (4, 3)
    assert all(entry.size == len(os.path.relpath(entry.uri, tmp_path)) for entry in images)


def test_the_order_is_that_of_whole_paths_also_beside_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.png", "a.png", "a-b/c.png", "a0.png", "a/b/c.png")
    found = names(listed(tmp_path), tmp_path)
    assert found == sorted(found) == ["a-b/c.png", "a.png", "a/b.png", "a/b/c.png", "a0.png"]


def test_a_large_folder_is_examined_in_batches_in_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:04d}.png" for number in range(700)), "0350.txt")
    assert names(listed(tmp_path), tmp_path) == [f"{number:04d}.png" for number in range(700)]
    assert len(listed(tmp_path, limit=300)) == 300


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.png")
    (tmp_path / "a" / "loop.png").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    assert names(listed(tmp_path), tmp_path) == ["a/b.png", "self.png"]


def test_the_limit_takes_the_first_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "c.png", "a.png", "b.png")
    assert names(listed(tmp_path, limit=2), tmp_path) == ["a.png", "b.png"]


def test_the_etag_changes_with_the_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    before = listed(tmp_path)
    assert listed(tmp_path) == before
    os.utime(tmp_path / "a.png", ns=(1, 2))
    assert listed(tmp_path) != before


def test_an_output_inside_the_input_is_not_its_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "out/report/crop.png", "outside.png")
    assert names(listed(tmp_path, output=str(tmp_path / "out")), tmp_path) == [
        "a.png",
        "outside.png",
    ]


def test_one_image_is_an_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    assert names(listed(tmp_path / "a.png"), tmp_path) == ["a.png"]


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_a_list_names_the_images(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "photos/a.png", "photos/strange.name")
    uris = ["photos/a.png", str(tmp_path / "photos/strange.name"), "photos/gone.png"]
    file = tmp_path / f"list.{kind}"
    if kind == "txt":
        file.write_text("# photos\n\n" + "\n".join(uris) + "\n")
    elif kind == "csv":
        file.write_text("number,uri\n" + "".join(f"{index},{uri}\n" for index, uri in enumerate(uris)))
    else:
        pq.write_table(pa.table({"note": ["x", "y", "z"], "uri": uris}), file)
    images = listed(file)
    assert names(images, tmp_path) == ["photos/a.png", "photos/strange.name", "photos/gone.png"]
    assert [entry.size for entry in images] == [12, 19, None]
    assert names(listed(file, limit=2), tmp_path) == ["photos/a.png", "photos/strange.name"]


def test_a_dangling_link_is_an_input_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert [entry.size for entry in listed(tmp_path)] == [None]


def test_names_with_spaces_and_signs_and_other_encodings_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "a b#c%20d?e::f.png", "ünï.png")
    strange = os.fsencode(tmp_path) + b"/latin-\xe9.png"
    Path(os.fsdecode(strange)).write_bytes(b"latin")
    entries = listed(tmp_path)
    assert len(entries) == 3
    assert {read_uri(entry.uri, 100) for entry in entries} == {
        b"a b#c%20d?e::f.png",
        "ünï.png".encode(),
        b"latin",
    }
    for entry in entries:
        pa.array([entry.uri]).cast(pa.string())


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nowhere", "there is no file or folder"),
        ("empty", "no image in"),
        ("texts", r"no image in .* \(2 files with other extensions\)"),
        ("texts/a.md", "neither an image, nor a .tar, nor a list"),
        ("bad.parquet", "cannot read .*bad.parquet"),
        ("plain.parquet", "has no column of URIs \\(and none of image bytes either\\); name it 'uri'"),
        ("columns.csv", "no column of URIs"),
        ("nothing.txt", "no image in"),
        ("ftp.txt", "only local paths and s3:// URLs"),
    ],
)
def test_an_input_that_holds_no_image_is_one_clear_line(tmp_path: Path, location: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "texts/a.md", "texts/b.md", "bad.parquet")
    pq.write_table(pa.table({"x": [1], "a": ["b"], "c": ["d"]}), tmp_path / "plain.parquet")
    (tmp_path / "columns.csv").write_text("x,y\n1,2\n")
    (tmp_path / "nothing.txt").write_text("# nothing\n")
    (tmp_path / "ftp.txt").write_text("ftp://host/a.png\n")
    with pytest.raises(UsageError, match=message) as caught:
        listed(tmp_path / location)
    assert "\n" not in str(caught.value)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="credentials do not belong in a URL") as caught:
        listed("s3://key:secret@bucket/photos")
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://host/photos", "gs://bucket/photos", "s3:///photos"])
def test_other_places_are_refused(location: str) -> None:
    with pytest.raises(UsageError):
        normalize(location)
