"""A source that decides rows changes only together with ROWS_VERSION, or with a line that says why none is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.run.fingerprint import FORMER_CODE, ROWS_VERSION

SOURCES = (
    "facegpt/language",
    "facegpt/library/glb.py",
    "facegpt/library/row.py",
    "facegpt/model",
    "facegpt/morphable/bundled.py",
    "facegpt/morphable/face_model.py",
    "facegpt/morphable/heads.py",
    "facegpt/morphable/theta.py",
    "facegpt/photo",
    "facegpt/rendering",
    "pipeline/annotate/null_model.py",
    "pipeline/annotate/stage.py",
    "pipeline/detect",
    "pipeline/output/meshes.py",
    "pipeline/sources/fetch.py",
    "pipeline/sources/parquet.py",
    "schemas",
)
"""What a row's values come from."""
LEDGER = Path(__file__).with_name("rows_versions.txt")


def digest(root: Path, sources: tuple[str, ...]) -> str:
    """16 hex digits over the Python files of `sources`; raises FileNotFoundError if one of them is gone."""
    total = hashlib.sha256()
    for source in sources:
        place = root / source
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"{source} holds no source: name where it went")
        for file in files:
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def entries() -> list[tuple[str, str, str]]:
    """Version, digest and reason of each line of the ledger, the oldest first."""
    lines = LEDGER.read_text("utf-8").splitlines()
    return [(*line.split(maxsplit=2),) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def test_the_sources_are_those_that_the_ledger_last_names(repository: Path) -> None:
    version, recorded, _ = entries()[-1]
    now = digest(repository, SOURCES)
    assert (version, recorded) == (ROWS_VERSION, now), (
        f"sources that decide rows have changed. If the same photo now gives another row, raise ROWS_VERSION "
        f"(pipeline/run/fingerprint.py); in any case add a line to {LEDGER.name}:\n"
        f"{ROWS_VERSION} {now} what changed, and why rows are other or the same"
    )


def test_every_line_of_the_ledger_gives_a_reason_and_no_version_goes_back() -> None:
    versions = [int(version) for version, _, _ in entries()]
    assert all(len(reason.split()) >= 3 for _, _, reason in entries())
    assert versions == sorted(versions)
    assert set(FORMER_CODE.values()) <= {str(version) for version in versions}


def test_a_source_that_changes_or_moves_does_not_go_unnoticed(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "one.py").write_text("A = 1\n")
    before = digest(tmp_path, ("stage",))
    (tmp_path / "stage" / "one.py").write_text("A = 2\n")
    assert digest(tmp_path, ("stage",)) != before
    with pytest.raises(FileNotFoundError, match=r"gone\.py holds no source"):
        digest(tmp_path, ("gone.py",))
