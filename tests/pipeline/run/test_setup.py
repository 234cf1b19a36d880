"""The set-up of a run: made and checked once, in an order that the user sees."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from fake_model import FakeSource

import facegpt.model.digest
import pipeline.annotate.model_source
from facegpt.bundled import BUNDLED_CHECKPOINT, BUNDLED_FACE_MODEL
from facegpt.model.digest import file_sha256
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.output.run_json import existing_run, read_record, write_record
from pipeline.run import annotate as run_module
from pipeline.run.annotate import annotate
from pipeline.run.setup import new_record, set_up
from pipeline.storage.store import LOCK, Storage
from pipeline.upkeep import retry as retry_module
from pipeline.upkeep.retry import retry


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of the model was hashed."""
    counts: Counter[str] = Counter()

    def counting(path: Path) -> str:
        counts[str(path)] += 1
        return file_sha256(path)

    monkeypatch.setattr(facegpt.model.digest, "file_sha256", counting)
    monkeypatch.setattr(pipeline.annotate.model_source, "file_sha256", counting)
    return counts


def test_every_file_of_the_model_is_hashed_once(hashed: Counter[str]) -> None:
    setup = set_up(load_config(None, ["licences.commercial_only=true"]))
    new_record(setup)
    assert hashed[str(BUNDLED_FACE_MODEL)] == hashed[str(BUNDLED_CHECKPOINT / "model.safetensors")] == 1
    assert set(hashed.values()) == {1}
    weights = {weight.kind: dict(weight.sha256) for weight in setup.weights}
    assert weights["model"] == {"model.safetensors": file_sha256(BUNDLED_CHECKPOINT / "model.safetensors")}
    assert weights["face model"] == {"face_model.safetensors": file_sha256(BUNDLED_FACE_MODEL)}


def test_a_licence_is_refused_before_the_detector_is_made(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"no network")
    overrides = ["detector.name=yunet", f"detector.model={path}"]
    with pytest.raises(UsageError, match=r"refuses detector yunet mine\.onnx"):
        set_up(load_config(None, [*overrides, "licences.commercial_only=true"]), FakeSource())
    with pytest.raises(UsageError, match=r"mine\.onnx") as error:
        set_up(load_config(None, overrides), FakeSource())
    assert "refuses" not in str(error.value)


def test_weights_are_checked_where_the_output_exists_as_well(tmp_path: Path) -> None:
    """A checkpoint that does not say its face model, with a file in its place that is none."""
    folder, face_model = tmp_path / "checkpoint", tmp_path / "odd.safetensors"
    shutil.copytree(BUNDLED_CHECKPOINT, folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"face_model_sha256"', '"face_model_sha256_of_old"'))
    face_model.write_bytes(b"no tensors here")
    with pytest.raises(UsageError, match="is no face model of this project"):
        set_up(load_config(None, [f"model.path={folder}", f"model.face_model={face_model}"]))


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    storage = Storage(str(tmp_path / "out"))
    write_record(storage, new_record(set_up(RunConfig(), FakeSource())))
    return storage


def test_run_json_is_read_before_the_lock_and_under_it(
    output: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def recorded(storage: Storage, any_version: bool = False) -> object:
        reads.append("locked" if storage.exists(LOCK) else "free")
        return read_record(storage, any_version=any_version)

    (tmp_path / "photos").mkdir()
    monkeypatch.setattr(run_module, "read_record", recorded)
    with pytest.raises(UsageError, match="no image in"):
        annotate(str(tmp_path / "photos"), output.root, RunConfig(), source=FakeSource(), say=str)
    assert reads == ["free", "locked"]
    monkeypatch.setattr(retry_module, "existing_run", recorded)
    reads.clear()
    assert retry(output.root, source=FakeSource(), say=str).shards == 0
    assert reads == ["free", "locked"]


def test_an_output_that_was_replaced_while_a_retry_waited_is_not_mixed(
    output: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replayed(storage: Storage) -> list[str]:
        record = existing_run(storage)
        record["fingerprints"]["model"] = "another"
        write_record(storage, record)
        return []

    monkeypatch.setattr(retry_module, "replay_journal", replayed)
    with pytest.raises(UsageError, match="the model or its face model changed since"):
        retry(output.root, source=FakeSource(), say=str)
