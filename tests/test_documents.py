"""What the documents say exists, exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/decisions.md",
    "docs/cluster.md",
    "docs/scale.md",
    "docs/drills.md",
    "docs/models.md",
    "docs/train.md",
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(repository: Path, name: str) -> None:
    document = repository / name
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
    relative = [link for link in links if "://" not in link]
    assert [link for link in relative if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(repository: Path, name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (repository / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (repository / name).read_text("utf-8"), re.MULTILINE))
    assert named - targets == set()


def test_python_in_the_readme_parses(repository: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        ast.parse(block)


def test_every_pinned_dependency_has_one_version(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("room", ["facegpt", "schemas", "pipeline", "jobs"])
def test_every_folder_of_modules_is_a_package(repository: Path, room: str) -> None:
    """Only packages are installed: a folder without __init__.py works in a checkout and is missing in a wheel."""
    folders = {path.parent for path in (repository / room).rglob("*.py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []
