"""An output that an earlier version wrote goes on: nothing is done twice, and what is new joins it.

`tests/data/output-4b9876f` was written by the commit of that name, the last one whose run.json has a hash over sources
in place of ROWS_VERSION: `annotate` of `tests/data/output-4b9876f.photos`, null detector and model, no meshes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas
import pyarrow as pa
import pytest
from images import encoded
from PIL import Image

from pipeline.config import load_config
from pipeline.output.run_json import existing_run
from pipeline.run.annotate import annotate
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet, to_parquet
from pipeline.upkeep.verify import verify

pytestmark = [pytest.mark.usefixtures("small_ray"), pytest.mark.timeout(900)]

DATA = Path(__file__).parents[2] / "data"
WRITTEN_IN = "/tmp/stored/photos"
SETTINGS = [
    "detector.name=null",
    "model.path=null",
    "output.meshes=false",
    "workers.detect=1",
    "workers.annotate=1",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The photos that were annotated, with the times that they had."""
    folder = tmp_path / "photos"
    shutil.copytree(DATA / "output-4b9876f.photos", folder)
    manifest = from_parquet((DATA / "output-4b9876f/manifest/0000-00000.parquet").read_bytes())
    for row in manifest.to_pylist():
        os.utime(folder / Path(row["uri"]).name, ns=(int(row["etag"]),) * 2)
    return folder


@pytest.fixture
def output(tmp_path: Path, photos: Path) -> Path:
    """The stored output, as it were if its photos had lain where they lie now: a URI is an absolute path."""
    folder = tmp_path / "output"
    shutil.copytree(DATA / "output-4b9876f", folder)
    for file in folder.rglob("*.parquet"):
        table = from_parquet(file.read_bytes())
        uris = [uri.replace(WRITTEN_IN, str(photos)) for uri in table["uri"].to_pylist()]
        at = table.column_names.index("uri")
        file.write_bytes(
            to_parquet(table.set_column(at, table.schema.field("uri"), pa.array(uris, pa.string())))
        )
    commit_file = folder / "commits/0000-000000.json"
    commit = json.loads(commit_file.read_text())
    for entry in commit["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    commit_file.write_text(json.dumps(commit))
    return folder


@pytest.mark.slow
def test_it_goes_on_where_it_was(photos: Path, output: Path) -> None:
    before = {path: path.read_bytes() for path in output.rglob("0000-*")}
    assert len(before) == 4
    said: list[str] = []
    config = load_config(None, SETTINGS)
    assert annotate(str(photos), str(output), config, say=said.append).images == 0
    assert said[-1].startswith("nothing to do: all 4 images")

    (photos / "new.png").write_bytes(encoded(Image.new("RGB", (70, 70), "white")))
    assert annotate(str(photos), str(output), config).images == 1
    assert all(path.read_bytes() == data for path, data in before.items())
    storage = Storage(str(output))
    verdict = verify(storage, str(existing_run(storage)["fingerprint"]))
    assert not verdict.problems
    ledger = pandas.read_parquet(output / "images")
    assert sorted(Path(uri).name for uri in ledger["uri"]) == sorted(path.name for path in photos.iterdir())
    fingerprints = {json.loads(path.read_text())["fingerprint"] for path in (output / "commits").iterdir()}
    assert fingerprints == {json.loads((output / "run.json").read_text())["fingerprint"]}
