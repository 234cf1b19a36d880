"""Not enough memory is one line with the way out, before or while something is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import facegpt.model.checkpoint
import facegpt.morphable.formats.load
from facegpt.bundled import BUNDLED_CHECKPOINT
from facegpt.memory import available, is_out_of_memory, total, weight_bytes
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import CheckpointError, load
from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.morphable import FaceModel
from facegpt.morphable.bundled import PATH
from facegpt.morphable.formats.load import FaceModelError, load_face_model

TOO_MUCH = 2**55
"""Bytes that no address space of today holds."""


def torch_takes_too_much(*_: Any, **__: Any) -> None:
    torch.empty(TOO_MUCH, dtype=torch.uint8)


def numpy_takes_too_much(*_: Any, **__: Any) -> None:
    np.ones(TOO_MUCH, np.uint8)


def fails_otherwise(*_: Any, **__: Any) -> None:
    raise RuntimeError("sizes of tensors do not match")


@pytest.mark.parametrize(
    ("act", "expected"),
    [(torch_takes_too_much, True), (numpy_takes_too_much, True), (fails_otherwise, False)],
)
def test_real_failures_are_told_apart(act: Any, expected: bool) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as raised:
        act()
    assert is_out_of_memory(raised.value) is expected


def machine(folder: Path, limit: str | None = None, used: int = 0, cached: int = 0) -> tuple[Path, Path]:
    """A machine that has 3000 KiB left, and a container's limit, where one is given."""
    meminfo, cgroup = folder / "meminfo", folder / "cgroup"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 2000 kB\nSwapFree: 1000 kB\nHugePages_Total: 0\n")
    cgroup.mkdir()
    if limit is not None:
        (cgroup / "memory.max").write_text(f"{limit}\n")
        (cgroup / "memory.current").write_text(f"{used}\n")
        (cgroup / "memory.stat").write_text(f"anon 5\nactive_file {cached}\ninactive_file 0\n")
    return meminfo, cgroup


@pytest.mark.parametrize(
    ("limit", "used", "cached", "free"),
    [
        (None, 0, 0, 3000 * 1024),
        ("max", 0, 0, 3000 * 1024),
        ("1000000", 700_000, 200_000, 500_000),
        ("1000000", 1_100_000, 0, 0),
        ("99000000", 0, 0, 3000 * 1024),
    ],
)
def test_the_machine_or_its_container_sets_the_limit(
    limit: str | None, used: int, cached: int, free: int, tmp_path: Path
) -> None:
    assert available(*machine(tmp_path, limit, used, cached)) == free


def test_a_container_has_no_more_than_its_limit(tmp_path: Path) -> None:
    whole = total(tmp_path)
    assert whole > 2**28
    for limit, size in (("max", whole), (str(10**15), whole), ("1000000", 1_000_000)):
        (tmp_path / "memory.max").write_text(limit)
        assert total(tmp_path) == size


def test_where_linux_says_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert available(tmp_path / "none", tmp_path) is None


def test_what_a_checkpoint_needs_stands_in_its_header(tmp_path: Path) -> None:
    save_file(
        {"a": np.zeros((3, 4), np.float16), "b": np.zeros((), np.float64)}, tmp_path / "one.safetensors"
    )
    (tmp_path / "two.safetensors").write_bytes(b"damaged")
    assert weight_bytes(tmp_path.glob("*.safetensors")) == 4 * 13
    assert 7e7 < weight_bytes(BUNDLED_CHECKPOINT.glob("*.safetensors")) < 8e7


def test_a_checkpoint_that_does_not_fit_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facegpt.model.checkpoint, "available", lambda: 2**20)
    with pytest.raises(
        CheckpointError, match=r"bundled needs 0\.1 GiB of memory to load, and 0\.0 GiB are free: end"
    ):
        load()


def test_memory_that_runs_out_while_a_checkpoint_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceGptForConditionalGeneration, "from_pretrained", torch_takes_too_much)
    with pytest.raises(
        CheckpointError, match="not enough memory on cpu to load checkpoint bundled: end"
    ) as raised:
        load()
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(FaceGptForConditionalGeneration, "from_pretrained", fails_otherwise)
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        load()


@pytest.mark.parametrize("fails", [torch_takes_too_much, numpy_takes_too_much])
def test_memory_that_runs_out_while_a_face_model_is_loaded(
    fails: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(facegpt.morphable.formats.load, "_read", fails)
    with pytest.raises(
        FaceModelError, match=r"not enough memory to load the face model .*gnm\.npz: .*--keep"
    ):
        load_face_model(str(tmp_path / "gnm.npz"))
    monkeypatch.setattr(FaceModel, "load", fails)
    with pytest.raises(FaceModelError, match="not enough memory to load the face model") as raised:
        load_face_model(str(PATH))
    assert "\n" not in str(raised.value) and "makes one" not in str(raised.value)
    with pytest.raises(CheckpointError, match="not enough memory on cpu for the face model"):
        FaceAnnotator.from_pretrained(face_model=str(PATH))
