"""The parts of the benchmark that could lie: the corpus, the counting of memory, the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from listing import listed
from PIL import Image

from benchmarks.scale import corpus
from benchmarks.scale.measure import Measured, Sample
from benchmarks.scale.processes import Aftermath, Family
from benchmarks.scale.table import driver_at, insert, markdown


def test_the_corpus_has_so_many_images_of_so_many_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "LINKS", 3)
    corpus.make_folder(tmp_path / "photos", 250)
    paths = sorted((tmp_path / "photos").rglob("*.jpg"))
    assert len(paths) == 250
    assert len({path.read_bytes() for path in paths}) == corpus.FILES
    assert max(path.stat().st_nlink for path in paths) == 3
    with Image.open(paths[0]) as image:
        assert max(image.size) == corpus.SIDE
    assert len(listed(tmp_path / "photos")) == 250
    before = paths[0].stat().st_mtime_ns
    corpus.make_folder(tmp_path / "photos", 250)
    assert paths[0].stat().st_mtime_ns == before


CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


def test_a_family_is_known_after_its_parent_is_gone() -> None:
    """The grandchild waits on the pipe that this test holds, so it outlives its killed parent until the pipe closes."""
    reader, writer = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", CHILD], stdin=reader)
    os.close(reader)
    family = Family(parent.pid)
    while len(family.members()) < 2:
        pass
    assert family.driver_mb() > 1
    assert family.total_mb() > 1
    assert os.getpid() not in family.known
    after = family.kill(seconds=0.3)
    parent.returncode = -9
    assert after.seconds > 0.3
    assert len(after.killed) == 1 and after.killed[0].endswith("-c input()")
    while family.members():
        pass
    os.close(writer)


def measured(**changes: object) -> Measured:
    samples = tuple(Sample(1, float(s), 100 * s, 300.0 + s, 1500.0, 9) for s in range(11))
    values: dict[str, object] = {
        "images": 1000,
        "remote": False,
        "samples": samples,
        "seconds": 20.0,
        "killed_at": 500,
        "gone": Aftermath(1.25, ()),
        "resume": 6.0,
        "objects": 4,
        "lost": 0,
        "duplicated": 0,
        "verified": "OK",
        "verify_seconds": 2.0,
    }
    return Measured(**(values | changes))  # type: ignore[arg-type]


def test_the_table_says_what_was_measured() -> None:
    text = markdown([measured(), measured(killed_at=None, gone=None, resume=None)], "Measured somewhere.")
    first, second = (line for line in text.splitlines() if line.startswith("| 1,000 | 20"))
    assert first == (
        "| 1,000 | 20 s | 50 | 20.00 | 310 MB | 1,500 MB | 4.00 | 500 | 1.2 s | 6.0 s | 0 | 0 | OK (2 s) |"
    )
    assert "| – | – | – | 0 | 0 |" in second
    assert "| 1,000 | 301 | 302 | 305 | 307 | 310 |" in text


def test_the_drivers_memory_is_that_of_the_last_sample_so_far_and_never_of_one_that_starts() -> None:
    samples = (*measured().samples, Sample(2, 0.1, 1000, 7.0, 30.0, 1))
    assert driver_at(samples, 450) == 304
    assert driver_at(samples, 1000) == 310


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    document = tmp_path / "scale.md"
    document.write_text(
        "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n<!-- y:begin -->\nstays\n<!-- y:end -->\n"
    )
    for _ in range(2):
        insert(document, "x", "new")
        assert document.read_text() == (
            "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n<!-- y:begin -->\nstays\n<!-- y:end -->\n"
        )
    with pytest.raises(ValueError, match="no place for the table"):
        insert(document, "z", "new")


@pytest.mark.parametrize("mark", ["scale-folder", "scale-s3", "scale-tars"])
def test_the_document_has_the_marks(mark: str, repository: Path) -> None:
    text = (repository / "docs" / "scale.md").read_text("utf-8")
    assert text.count(f"<!-- {mark}:begin -->\n") == text.count(f"<!-- {mark}:end -->\n") == 1
