"""FLAME's pickles, and what a pickle may hold."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from face_files import assert_is_head, flame, head
from old_pickle import Ch, python2_pickle

from facegpt.morphable.formats import FaceModelError
from facegpt.morphable.formats.load import load_face_model
from facegpt.morphable.formats.unpickle import unpickle


def test_flame_as_chumpy_pickled_it(tmp_path: Path) -> None:
    model = load_face_model(str(flame(tmp_path)), keep=(4, 3, 0))
    assert_is_head(model, lambda array: array[: len(head().mean)])
    assert (model.id, model.n_albedo, model.expression_unit) == ("flame-generic_model/1", 0, "sigma")
    assert "non-commercial" in model.licence
    beyond = model.regions[len(head().mean) :]
    assert set(beyond.tolist()) == {1, 2}, "the eyeballs are parts of their own"
    left = model.mean[model.regions == 1]
    assert bool((left[:, 0] > 0).all())
    found = model.landmarks(model.mean[None], torch.eye(3)[None])[0, 17:]
    assert (found - model.mean[torch.from_numpy(head().marks[17:])]).norm(dim=1).max() < 1e-6


def test_the_open_flame_may_be_used_commercially(tmp_path: Path) -> None:
    model = load_face_model(str(flame(tmp_path, "flame2023_Open.pkl")), keep=(2, 2, 0))
    assert (model.id, model.licence) == ("flame-flame2023_open/1", "CC-BY-4.0")


def test_without_the_embedding_the_way_out_is_named(tmp_path: Path) -> None:
    path = flame(tmp_path)
    (tmp_path / "landmark_embedding.npy").unlink()
    with pytest.raises(FaceModelError, match=r"put landmark_embedding\.npy .* beside the model, or give"):
        load_face_model(str(path))


def test_51_points_are_not_enough(tmp_path: Path) -> None:
    path = flame(tmp_path)
    static = {"lmk_face_idx": np.zeros(51, np.int64), "lmk_b_coords": np.zeros((51, 3))}
    np.save(tmp_path / "landmark_embedding.npy", np.array(static, dtype=object), allow_pickle=True)
    with pytest.raises(FaceModelError, match="51 points without the jaw"):
        load_face_model(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v_template": np.zeros((6890, 3))}, "is it SMPL or another body model"),
        ({"shapedirs": np.zeros((5023, 3, 110))}, "an older or cut version"),
        ({"shapedirs": Ch(None)}, "holds no array"),  # type: ignore[arg-type]
    ],
)
def test_another_model_or_version_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FaceModelError, match=message) as caught:
        load_face_model(str(flame(tmp_path, **change)))
    assert "\n" not in str(caught.value)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


class EvilNumpy:
    def __reduce__(self) -> Any:
        return np.load, ("somewhere.npy", None, True)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "model.pkl", tmp_path / "was_run"
    path.write_bytes(pickle.dumps({"v_template": Evil(marker)}))
    with pytest.raises(FaceModelError, match=r"a pickle can run code .* it names (posix|nt)\.mkdir"):
        load_face_model(str(path))
    assert not marker.exists()
    path.write_bytes(pickle.dumps([EvilNumpy()]))
    with pytest.raises(FaceModelError, match=r"it names numpy\.load"):
        unpickle(path)


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        b"cnumpy\nndarray.tofile\n.",
        b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0bf2py.os.mkdir\x93.",
        b"no pickle",
        b"",
    ],
)
def test_instructions_by_hand_lead_nowhere(tmp_path: Path, code: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(code)
    with pytest.raises(FaceModelError):
        unpickle(tmp_path / "model.pkl")


def test_the_embedding_is_not_unpickled_freely_either(tmp_path: Path) -> None:
    path, marker = flame(tmp_path), tmp_path / "was_run"
    np.save(tmp_path / "landmark_embedding.npy", np.array(Evil(marker), dtype=object), allow_pickle=True)
    with pytest.raises(FaceModelError, match="can run code"):
        load_face_model(str(path))
    assert not marker.exists()


def test_arrays_of_both_pythons_come_through(tmp_path: Path) -> None:
    value = {"a": np.arange(6.0).reshape(2, 3), "b": np.float64(2.5), "c": Ch(np.ones(3))}
    for data in (python2_pickle(value), pickle.dumps({"a": value["a"], "b": value["b"]}, protocol=4)):
        (tmp_path / "arrays.pkl").write_bytes(data)
        found = unpickle(tmp_path / "arrays.pkl")
        assert np.array_equal(found["a"], value["a"]) and found["b"] == 2.5
