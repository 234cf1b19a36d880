"""The Basel Face Models, as miniature files in their exact formats."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from face_files import assert_is_head, bfm_2009, bfm_front, bfm_h5, head
from scipy.io import savemat

from facegpt.morphable.formats import FaceModelError
from facegpt.morphable.formats.load import load_face_model
from facegpt.rendering import srgb_to_linear

needs_h5py = pytest.mark.skipif(
    importlib.util.find_spec("h5py") is None, reason="needs the extra face-models (h5py)"
)


def landmark_file(path: Path, numbers: range | list[int]) -> str:
    """Landmarks as eos lists them: iBUG numbers from 1, some missing, a section that is not for us."""
    lines = [f"{k + 1} = {head().marks[k]}  # a comment" for k in numbers]
    text = "\n".join(["[landmark_mappings]", *lines, "#20 =", "[contour_landmarks]", "right = [ 1,", "]"])
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_bfm_2009_in_micrometres_with_standard_deviations(tmp_path: Path) -> None:
    points = landmark_file(tmp_path / "points.txt", range(68))
    model = load_face_model(str(bfm_2009(tmp_path / "01_MorphableModel.mat")), points)
    assert_is_head(model)
    assert (model.n_shape, model.n_expression, model.n_albedo) == (4, 0, 2)
    wanted = srgb_to_linear(torch.from_numpy(head().colour).float())
    assert (model.albedo(torch.zeros(1, 2))[0] - wanted).abs().max() < 2e-3
    bright = srgb_to_linear(torch.from_numpy(head().colour + 0.2 * head().colour_modes[0]).float())
    assert (model.albedo(torch.tensor([[0.2, 0.0]]))[0] - bright).abs().max() < 3e-3
    assert "non-commercial" in model.licence and model.id == "bfm-2009/1"
    assert model.vertices(torch.zeros(1, 4), torch.zeros(1, 0)).shape == (1, model.n_vertices, 3)


def test_points_that_are_missing_are_carried_over(tmp_path: Path) -> None:
    given = [17, 19, 21, 22, 24, 26, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 62, 66]
    points = landmark_file(tmp_path / "points.txt", given)
    model = load_face_model(str(bfm_2009(tmp_path / "01_MorphableModel.mat")), points)
    found = model.landmarks(model.mean[None], torch.eye(3)[None])[0]
    off = (found - model.mean[torch.from_numpy(head().marks)]).norm(dim=1)
    assert float(off[given[0] :].max()) < 0.008, "inner points"
    assert float(off[:17].max()) < 0.02, "the jaw"
    assert "50 landmarks carried over" in model.conversion


def test_bfm_2009_of_another_cut_asks_for_landmarks(tmp_path: Path) -> None:
    with pytest.raises(FaceModelError, match=r"not BFM 2009's 53490: give --landmarks"):
        load_face_model(str(bfm_2009(tmp_path / "model.mat")))


def test_landmarks_of_another_file_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("\n".join(str(k) for k in np.random.default_rng(1).permutation(3000)[:68]), "utf-8")
    with pytest.raises(FaceModelError, match=r"not what its format says|do not fit"):
        load_face_model(str(bfm_2009(tmp_path / "model.mat")), str(path))


def test_deep3d_front_model(tmp_path: Path) -> None:
    model = load_face_model(str(bfm_front(tmp_path / "anything.mat")))
    assert_is_head(model)
    assert (model.n_shape, model.n_expression, model.n_albedo) == (4, 3, 2)
    assert model.expression_unit == "sigma"
    kept = load_face_model(str(tmp_path / "anything.mat"), keep=(2, 1, 1))
    assert (kept.n_shape, kept.n_expression, kept.n_albedo) == (2, 1, 1)
    assert len(kept.expression_names) == 1
    assert kept.sha256 != model.sha256


@pytest.mark.parametrize("content", ["text", "other"])
def test_a_wrong_mat_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wrong.mat"
    if content == "text":
        path.write_text("this is no MATLAB file at all, but it is long enough to look like one" * 4, "utf-8")
    else:
        savemat(path, {"shapeMU": np.zeros((9, 1))})
    with pytest.raises(FaceModelError, match=r"faces\.dmi\.unibas\.ch") as caught:
        load_face_model(str(path))
    assert "\n" not in str(caught.value)


@needs_h5py
def test_bfm_2017_with_eigenvalues_and_two_means(tmp_path: Path) -> None:
    points = landmark_file(tmp_path / "points.txt", range(68))
    model = load_face_model(str(bfm_h5(tmp_path / "model2017-1_face12_nomouth.h5")), points)
    assert_is_head(model)
    assert model.id == "bfm-model2017-1_face12_nomouth/1"
    assert (model.n_shape, model.n_expression, model.n_albedo) == (4, 3, 2)


@needs_h5py
def test_bfm_2017_of_unknown_topology_asks_for_landmarks(tmp_path: Path) -> None:
    with pytest.raises(FaceModelError, match=r"known for bfm_nomouth \(53149\) alone"):
        load_face_model(str(bfm_h5(tmp_path / "model2019_fullHead.h5")))


@needs_h5py
def test_a_wrong_h5_is_one_line(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "wrong.h5"
    path.write_text("text", "utf-8")
    with pytest.raises(FaceModelError, match="no HDF5 file"):
        load_face_model(str(path))
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(FaceModelError, match="not of BFM 2017"):
        load_face_model(str(path))


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *rest: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    with pytest.raises(FaceModelError, match=r"pip install 'facegpt\[face-models\]'"):
        load_face_model(str(tmp_path / "model.h5"))
