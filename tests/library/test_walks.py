"""The notebook and the page on Python run as they stand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trimesh
from PIL import Image

import facegpt


def cells(notebook: Path) -> list[str]:
    """The sources of its code cells, which must be stored without outputs."""
    values = json.loads(notebook.read_text("utf-8"))
    assert (values["nbformat"], values["nbformat_minor"]) == (4, 5)
    code = [cell for cell in values["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def run(sources: list[str]) -> dict[str, Any]:
    """Runs sources one after the other in one namespace, which it gives."""
    space: dict[str, Any] = {}
    for number, source in enumerate(sources):
        exec(compile(source, f"block {number}", "exec"), space)
    return space


def test_the_notebook_runs_from_the_first_cell_to_the_last(repository: Path) -> None:
    sources = cells(repository / "docs" / "python.ipynb")
    assert 5 <= len(sources) <= 8
    space = run(sources)
    (face,) = space["faces"]
    assert isinstance(face, facegpt.Face) and face is space["face"]
    # Where the astronaut's face is, in pixels of the photo.
    assert 150 < face.landmarks68[30, 0] < 280 and 70 < face.landmarks68[30, 1] < 200
    assert "smile" in face.caption and abs(face.yaw_deg) < 15
    assert "mouthSmileLeft" in space["strengths"].nlargest(5).index
    assert isinstance(space["mesh"], trimesh.Trimesh) and 0.2 < space["mesh"].extents[1] < 0.4
    assert [answer.text in ("Yes.", "No.") for answer in space["answers"]] == [True]
    assert [one.seed for one in space["imagined"]] == [5, 6]


def test_the_python_of_the_page_runs(
    repository: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(photos / "portrait-spacesuit.png", tmp_path / "portrait.png")
    shutil.copy(photos / "coffee.png", tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    monkeypatch.chdir(tmp_path)
    sources = blocks(repository / "docs" / "python.md")
    assert len(sources) >= 8
    with pytest.warns(UserWarning, match=r"broken\.jpg is no photo that can be read"):
        run(sources)
    told = capsys.readouterr().out
    assert "smile" in told and "(68, 2)" in told and "<Face 0 at " in told and "[1, 52]" in told
    assert "coffee.png 0 None" in told and "broken.jpg 0 broken.jpg is no photo" in told
    assert "no-such-photo.jpg No such file or directory" in told
    with Image.open(tmp_path / "face.png") as picture:
        assert picture.width > 3 * picture.height
    assert len(trimesh.load(tmp_path / "face.glb", force="mesh").vertices) > 5000
    assert all((tmp_path / f"imagined-{seed}.{kind}").is_file() for seed in (5, 6) for kind in ("glb", "png"))


def test_the_five_lines_are_five() -> None:
    first = blocks(Path(__file__).parents[2] / "docs" / "python.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 5
