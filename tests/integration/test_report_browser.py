"""The report as a person gets it: in a browser, with no network."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from PIL import Image
from synthetic_output import write_synthetic_output

from pipeline.report import write_report


@pytest.fixture(scope="module")
def window(chromium: str, chromedriver: str) -> Iterator[Browser]:
    with Browser(chromium, chromedriver) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that was moved away from its output and its photos: it must need neither."""
    folder = tmp_path_factory.mktemp("run")
    others = [{"status": "failed", "stage": "decode", "reason": "damaged <script>alert(1)</script> header"}]
    written = Path(write_report(str(write_synthetic_output(folder, 4, others))))
    alone = tmp_path_factory.mktemp("elsewhere") / "index.html"
    shutil.move(written, alone)
    shutil.rmtree(folder)
    return alone


def test_every_picture_is_shown_and_the_console_stays_silent(window: Browser, report: Path) -> None:
    window.open(report)
    # Pictures below the fold load lazily: decode() waits for each.
    shown = window.run(
        "const all = [...document.images]; all.forEach(i => i.loading = 'eager');"
        "return Promise.all(all.map(i => i.decode().then(() => [i.naturalWidth, i.naturalHeight, i.alt.length])));"
    )
    assert len(shown) == 4 * 4
    assert all(width == height == 224 and alternative > 10 for width, height, alternative in shown)
    assert window.console() == []


def test_the_page_fetches_nothing(window: Browser, report: Path) -> None:
    window.open(report)
    fetched = window.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_counts_and_reasons_are_read_out(window: Browser, report: Path) -> None:
    window.open(report)
    assert window.run("return document.querySelector('h1').innerText") == "4 faces in 5 photos"
    assert window.run("return document.title").startswith("4 faces in 5 photos")
    row = window.run("return document.querySelector('tbody tr').innerText")
    assert "damaged <script>alert(1)</script> header" in row
    assert window.run("return document.scripts.length") == 0
    unnamed = "return [...document.querySelectorAll('svg[role=img]')].filter(s => !s.getAttribute('aria-label')).length"
    assert window.run(unnamed) == 0


@pytest.mark.parametrize(("scheme", "brightness"), [("light", (235, 256)), ("dark", (0, 60))])
def test_it_is_drawn_in_the_scheme_of_the_system(
    window: Browser, report: Path, scheme: str, brightness: tuple[int, int]
) -> None:
    window.emulate_scheme(scheme)
    window.open(report)
    picture = np.asarray(Image.open(io.BytesIO(window.screenshot())).convert("L"))
    assert picture.shape[1] > 1000
    least, most = brightness
    assert least <= int(np.median(picture)) < most
    assert picture.std() > 10  # something is drawn on the ground


def test_a_narrow_screen_needs_no_sideways_scrolling(window: Browser, report: Path) -> None:
    window.resize(400, 800)
    window.open(report)
    width, inner = window.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    window.resize(1280, 900)
    assert width <= inner
