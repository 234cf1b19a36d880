"""The report: what it counts, whom it shows, and that its pictures lie where the parameters say."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from synthetic_output import BACKGROUND, SHARD, write_synthetic_output

from facegpt.library.pictures import crop_transform, draw_pictures, render_face
from facegpt.morphable import bundled
from facegpt.photo.crop import cut
from pipeline.errors import UsageError
from pipeline.report import write_report
from pipeline.report.figures import Segment, histogram, stacked_bar
from pipeline.report.read import choose_faces, read_report_data, read_rows

OTHERS = [
    {"status": "no_face", "stage": "detect", "reason": None},
    {"status": "no_face", "stage": "detect", "reason": None},
    {"status": "failed", "stage": "decode", "reason": 'the file is <empty> & "void"'},
]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_output(tmp_path_factory.mktemp("run"), 4, OTHERS)


class Page(HTMLParser):
    """The text, the attributes and the pictures of a page."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.text, self.attributes, self.pictures = "", [], []  # type: ignore[var-annotated]
        self.feed(Path(path).read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "img":
            self.pictures.append(_pixels(dict(attrs)["src"] or ""))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def _pixels(uri: str) -> NDArray[np.float64]:
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    return np.asarray(image.convert("RGB"), dtype=np.float64)


def test_counts_and_reasons(output: Path) -> None:
    page = Page(write_report(str(output)))
    words = " ".join(page.text.split())
    assert "4 faces in 7 photos" in words
    assert "with faces 4 no face found 2 failed 1" in words
    assert "2 no face found detect the detector found no face" in words
    assert '1 failed decode the file is <empty> & "void"' in words
    assert "A face, number 3 of <4>, looking at the camera." in words


def test_what_the_run_was_made_with(output: Path) -> None:
    words = " ".join(Page(write_report(str(output))).text.split())
    assert "Detector dlib" in words
    assert f"Face model {bundled().id} · 80 shape, 52 expression and 80 albedo modes" in words
    assert "Configuration detector.min_score = 0.25 Runs" in words
    assert "7 images and 4 faces from photos in 4.0 s, 1.8 images/s, on cpu" in words
    assert "detector dlib: BSL-1.0" in words


def test_four_pictures_for_each_face_and_no_address_outside(output: Path) -> None:
    page = Page(write_report(str(output)))
    assert len(page.pictures) == 16
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(
        r"url\(|@import|https?:", "".join(value for *_, value in page.attributes if value[:5] != "data:")
    )


@pytest.mark.parametrize("index", range(4))
def test_the_reconstruction_lies_on_the_photo(output: Path, index: int) -> None:
    """The synthetic photo *is* the rendering of these parameters, so every convention shows as an error here."""
    read = read_report_data(str(output))
    row = read_rows(read, [index])[0]
    photo = np.asarray(Image.open(row["uri"]).convert("RGB"))
    drawn = draw_pictures(bundled(), row, photo)
    made = {name: np.asarray(image, dtype=np.float64) for name, image in drawn.items()}
    assert _distance(made["reconstruction"], made["photo"]) < 3.3
    assert np.abs(made["landmarks"] - made["photo"]).max() > 60
    assert np.abs(made["turned"] - made["photo"]).mean() > 20


def test_one_pixel_beside_is_told_from_right(output: Path) -> None:
    row = read_rows(read_report_data(str(output)), [2])[0]
    crop = Image.fromarray(
        cut(np.asarray(Image.open(row["uri"]).convert("RGB")), crop_transform(row, 224), 224)
    )
    photo = np.asarray(crop, dtype=np.float64)
    right = _distance(np.asarray(render_face(bundled(), row, crop), dtype=np.float64), photo)
    row["translation"][0] += 1 / 224 * 0.9 / 4.5
    beside = _distance(np.asarray(render_face(bundled(), row, crop), dtype=np.float64), photo)
    assert beside > right + 0.2


def _distance(drawn: NDArray[np.float64], photo: NDArray[np.float64]) -> float:
    """Root mean square difference where the photo is not its plain ground, in grey levels of 255."""
    face = np.abs(photo - BACKGROUND).max(axis=2) > 12
    assert face.mean() > 0.25
    return float(np.sqrt(((drawn - photo)[face] ** 2).mean()))


def test_a_photo_that_is_gone_or_changed_leaves_a_note(tmp_path: Path) -> None:
    output = write_synthetic_output(tmp_path, 3)
    (tmp_path / "photos" / "face0.png").unlink()
    Image.new("RGB", (320, 240)).save(tmp_path / "photos" / "face1.png")
    page = Page(write_report(str(output)))
    assert page.text.count("the photo is no longer where it was") == 3
    assert page.text.count("the photo was changed since") == 3
    assert len(page.pictures) == 4 + 1 + 1


def test_coefficients_of_another_face_model_are_not_drawn(tmp_path: Path) -> None:
    output = write_synthetic_output(tmp_path, 1, face_model_sha256="f" * 64)
    page = Page(write_report(str(output)))
    assert len(page.pictures) == 2
    assert page.text.count("not drawn: the face model is not") == 2


def test_the_number_of_faces_is_bounded(output: Path) -> None:
    write_report(str(output), shown=3)
    page = Page(str(output / "report" / "index.html"))
    assert len(page.pictures) == 3 * 4
    assert "3 of 4: " in page.text


def test_choose_takes_the_worst_and_spaces_the_rest_evenly() -> None:
    quality = np.random.default_rng(1).permutation(1000) / 1000
    faces = pa.table({"quality": quality})
    chosen = choose_faces(faces, shown=48)
    assert len(chosen) == len(set(chosen)) == 48
    assert set(np.argsort(quality)[:12].tolist()) <= set(chosen)
    assert (np.diff(quality[chosen]) < 0).all()
    others = sorted(set(chosen) - set(np.argsort(quality)[:12].tolist()))
    assert np.diff(others).max() < 2 * 1000 / 36
    assert chosen == choose_faces(faces, shown=48)


def test_choose_takes_all_when_they_are_few() -> None:
    assert choose_faces(pa.table({"quality": [0.1, float("nan"), 0.9]})) == [2, 0, 1]


def test_a_run_without_a_commit_has_a_report(tmp_path: Path) -> None:
    output = write_synthetic_output(tmp_path, 1)
    (output / "commits" / f"{SHARD}.json").unlink()
    page = Page(write_report(str(output)))
    assert "0 faces in 0 photos" in page.text
    assert page.pictures == []


def test_a_folder_that_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        write_report(str(tmp_path))


def test_histogram_counts_everything_finite() -> None:
    values = np.array([-500.0, 0.5, 1.5, 1.5, 99.0, np.nan])
    drawn = histogram(values, [0, 1, 2, 3], label="Values", ticks=(0, 3), decimals=1)
    assert [int(count) for count in re.findall(r": (\d+)</title>", drawn)] == [2, 2, 1]
    assert 'aria-label="Values: 5 faces, median 1.5"' in drawn


def test_stacked_bar_shows_one_in_a_million() -> None:
    drawn = stacked_bar([Segment("annotated", "good", 999_999), Segment("failed", "bad", 1)], label="All")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="4"', drawn)]
    assert sum(widths) == pytest.approx(100, abs=0.01)
    assert widths[1] > 0.5
    assert 'aria-label="All: 999,999 good, 1 bad"' in drawn
