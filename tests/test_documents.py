"""What the documents say exists, exists; what they promise of their own form holds."""

from __future__ import annotations

import ast
import importlib
import re
from itertools import pairwise
from pathlib import Path

import pytest

from jobs.cli import JOBS
from pipeline.config import RunConfig
from schemas import FaceDims, faces_schema, images_schema

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("facegpt", "schemas", "pipeline", "jobs")
PLACES = (*PACKAGES, "tests", "benchmarks", "configs", "deploy", "docs")
DOCUMENTS = sorted(
    document.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "facegpt/assets/*/*.md", "deploy/**/*.md")
    for document in REPOSITORY.glob(pattern)
)
DECISION_LINES = 5

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def anchors(document: Path) -> set[str]:
    """The names under which the headings of a document can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rooms(package: str) -> set[str]:
    """The folders of a package that hold modules, and the package itself, as `facegpt/model/`."""
    folders = {file.parent for file in (REPOSITORY / package).rglob("*.py")}
    return {f"{folder.relative_to(REPOSITORY).as_posix()}/" for folder in folders}


def arrows() -> set[tuple[str, str]]:
    """The arrows of the drawing in docs/architecture.md, each from one name to another."""
    drawing = text_of("docs/architecture.md").partition("```mermaid")[2].partition("```")[0]
    found = set()
    for line in drawing.splitlines():
        groups = [re.findall(r"(\w+)(?:\[.*?\])?\s*(?:&|$)", part) for part in line.split("-->")]
        found |= {(a, b) for ours, theirs in pairwise(groups) for a in ours for b in theirs}
    return found


def place_of(room: str) -> Path:
    """A package, a room of one, or a module in one; folders first."""
    candidates = [REPOSITORY / room, *(REPOSITORY / package / room for package in PACKAGES)]
    places = [place for one in candidates for place in (one, one.with_suffix(".py")) if place.exists()]
    assert places, f"the drawing names {room}, and there is no such room"
    return min(places, key=Path.is_file)


def decisions() -> list[str]:
    """Each decision of docs/decisions.md as it stands there, its lines included."""
    blocks = re.split(r"\n(?=- |#|\n)", text_of("docs/decisions.md"))
    return [block.strip("\n") for block in blocks if block.strip("\n").startswith("- ")]


def python_blocks() -> list[tuple[str, str]]:
    """The Python of all documents, each block with its document's name."""
    return [
        (name, block)
        for name in DOCUMENTS
        for block in re.findall(r"^```python\n(.*?)^```", text_of(name), re.DOTALL | re.MULTILINE)
    ]


def is_module_or_in_it(dotted: str) -> bool:
    """Whether a dotted name is a module, or what follows the longest module in it stands in that module's source."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        place = REPOSITORY.joinpath(*parts[:count])
        for source in (place.with_suffix(".py"), place / "__init__.py"):
            if source.exists():
                return count == len(parts) or parts[count] in source.read_text("utf-8")
    return False


@every_document
def test_every_relative_link_leads_somewhere(name: str) -> None:
    here = REPOSITORY / name
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text("utf-8")) if "://" not in link]
    lost = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = here.parent / path if path else here
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@every_document
def test_every_file_that_is_named_exists(name: str) -> None:
    text = text_of(name)
    paths = set(re.findall(rf"(?<![\w./:-])((?:{'|'.join(PLACES)})/[\w./-]*[\w/])", text))
    assert sorted(path for path in paths if not (REPOSITORY / path).exists()) == []
    files = set(re.findall(r"`(\w+\.py)`", text))
    known = {file.name for place in PLACES for file in (REPOSITORY / place).rglob("*.py")}
    assert files - known == set()


@every_document
def test_every_module_that_is_named_exists(name: str) -> None:
    pattern = rf"(?<![\w./@-])((?:{'|'.join(PACKAGES)}|benchmarks)(?:\.[A-Za-z_]\w*)+)"
    dotted = set(re.findall(pattern, text_of(name)))
    assert sorted(one for one in dotted if not is_module_or_in_it(one)) == []


@every_document
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", text_of("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", text_of(name), re.MULTILINE))
    assert named - targets == set()


@every_document
def test_every_command_and_setting_that_is_named_exists(name: str) -> None:
    text = text_of(name)
    named = set(re.findall(r"(?:`|^|bin/|  )facegpt ([a-z][a-z-]+)", text, re.MULTILINE))
    assert named - set(JOBS) == set()
    sections = "|".join(RunConfig.model_fields)
    settings = set(re.findall(rf"(?:`|--set )((?:{sections})\.[a-z_]+)\b", text))
    parts = RunConfig.model_fields.items()
    known = {f"{part}.{key}" for part, field in parts for key in field.annotation.model_fields}
    assert settings - known == set()


def test_every_command_stands_in_some_document() -> None:
    everything = "\n".join(text_of(name) for name in DOCUMENTS)
    assert [job for job in JOBS if f"facegpt {job}" not in everything] == []


def test_python_in_the_documents_parses_and_imports_what_is_there() -> None:
    blocks = python_blocks()
    assert {"README.md", "docs/output.md"} <= {name for name, _ in blocks}
    for name, block in blocks:
        for node in ast.walk(ast.parse(block, filename=name)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == [], name


@pytest.mark.parametrize("package", ["facegpt", "pipeline"])
def test_the_architecture_names_every_room_and_no_other(package: str) -> None:
    page = text_of("docs/architecture.md")
    named = set(re.findall(rf"^\| `({package}/[\w/]*)` \|", page, re.MULTILINE))
    assert named - {"facegpt/assets/"} == rooms(package)


def test_every_arrow_of_the_drawing_is_an_import() -> None:
    drawn = arrows()
    assert len(drawn) > 20
    wrong = []
    for room, imported in sorted(drawn):
        place = place_of(room)
        sources = [place] if place.is_file() else place.rglob("*.py")
        dotted = place_of(imported).relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", "\\.")
        pattern = re.compile(rf"^\s*(?:from|import) {dotted}[. ]", re.MULTILINE)
        if not any(pattern.search(source.read_text("utf-8")) for source in sources):
            wrong.append((room, imported))
    assert wrong == []


def test_the_glossary_explains_each_word_once() -> None:
    rows = text_of("docs/architecture.md").partition("## Glossary")[2].splitlines()
    words = [row.split("|")[1].strip(" `") for row in rows if row.startswith("|")][2:]
    assert len(words) >= 25
    assert words == sorted(set(words), key=lambda word: word.strip("<>").lower())


def test_the_output_page_explains_every_column() -> None:
    columns = {*faces_schema(FaceDims(80, 52, 80)).names, *images_schema().names}
    page = text_of("docs/output.md")
    assert sorted(name for name in columns if f"`{name}`" not in page) == []


def test_every_decision_is_short_and_whole() -> None:
    found = decisions()
    assert len(found) > 50
    assert [one for one in found if one.count("\n") >= DECISION_LINES] == []
    for part in ("Why:", "Cost:", "Status:"):
        assert [one for one in found if part not in one] == [], part


def test_the_notebook_stands_by_date_newest_first() -> None:
    dates = re.findall(r"^## (.+)$", text_of("docs/notebook.md"), re.MULTILINE)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
    assert dates == sorted(set(dates), reverse=True)


def test_every_pinned_dependency_has_one_version(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("room", PACKAGES)
def test_every_folder_of_modules_is_a_package(repository: Path, room: str) -> None:
    """Only packages are installed: a folder without __init__.py works in a checkout and is missing in a wheel."""
    folders = {path.parent for path in (repository / room).rglob("*.py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []
