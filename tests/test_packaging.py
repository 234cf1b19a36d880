"""What pyproject.toml declares against what the code imports."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("facegpt", "pipeline", "jobs", "schemas")
OPTIONAL = ("face-models", "lora", "bake")
"""The extras that the product imports from, where a user has installed them."""


def imported(repository: Path) -> Iterator[tuple[str, str]]:
    """The first names of all that is imported, anywhere in a file, and the file."""
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                else:
                    continue
                yield from ((name.partition(".")[0], str(path.relative_to(repository))) for name in names)


def test_everything_that_is_imported_is_declared(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    texts = [
        *project["dependencies"],
        *(text for name in OPTIONAL for text in project["optional-dependencies"][name]),
    ]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    installed = {**packages_distributions(), "dlib": ["dlib-bin"]}  # whose top_level.txt leaves it out
    known = {*sys.stdlib_module_names, *PACKAGES}
    undeclared = {
        (name, path)
        for name, path in imported(repository)
        if name not in known and declared.isdisjoint(map(canonicalize_name, installed.get(name, [name])))
    }
    assert undeclared == set()
