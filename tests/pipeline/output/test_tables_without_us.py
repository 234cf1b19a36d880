"""The tables are plain Parquet: pandas reads them where neither Ray nor this project is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installed import closure, link
from synthetic_output import write_synthetic_output

READER = """
import json, sys
import pandas
faces = pandas.read_parquet(sys.argv[1] + "/faces")
images = pandas.read_parquet(sys.argv[1] + "/images")
ours = {"ray", "facegpt", "schemas", "pipeline", "jobs", "torch"}
print(json.dumps({
    "ours": sorted(ours & set(sys.modules)),
    "importable": sorted(name for name in ours if __import__("importlib.util").util.find_spec(name)),
    "faces": len(faces), "images": len(images), "shape": len(faces["shape"][0]), "caption": faces["caption"][0],
}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules that holds pandas and pyarrow with what they depend on, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    link(closure(["pandas", "pyarrow"]), folder)
    return folder


def test_pandas_alone_reads_the_tables(tmp_path: Path, site: Path) -> None:
    output = write_synthetic_output(tmp_path, 2)
    # -I and -S: no site-packages, no PYTHONPATH, no working directory; only the folder above is added.
    program = f"import sys; sys.path.append({str(site)!r})\n{READER}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(output)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ours": [],
        "importable": [],
        "faces": 2,
        "images": 2,
        "shape": 80,
        "caption": "A face, number 0 of <2>, looking at the camera.",
    }
