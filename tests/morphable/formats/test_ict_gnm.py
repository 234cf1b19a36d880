"""ICT-FaceKit and GNM Head: miniature files in their exact formats, and ICT-FaceKit's real ones where they are."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from face_files import assert_is_head, gnm, head, ict

from facegpt.morphable import FaceModel
from facegpt.morphable.formats import FaceModelError
from facegpt.morphable.formats.ict import LANDMARKS
from facegpt.morphable.formats.landmarks import read_landmarks, reference_landmarks
from facegpt.morphable.formats.load import load_face_model


def own_order(folder: Path) -> np.ndarray:
    """Which of the file's vertices is which of the head's."""
    lines = (folder / "generic_neutral_mesh.obj").read_text("utf-8").splitlines()
    mesh = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float) / 100
    from scipy.spatial import cKDTree

    distance, index = cKDTree(mesh).query(head().mean)
    assert distance.max() < 1e-6
    return np.asarray(index)


def test_ict_in_centimetres_with_absolute_meshes(tmp_path: Path) -> None:
    folder = ict(tmp_path / "FaceXModel", identities=4)
    model = load_face_model(str(tmp_path))
    order = own_order(folder)
    assert_is_head(model, lambda array: array[order])
    assert model.id == "ict-facekit-light-4/1" and model.licence == "MIT"
    assert model.expression_names == ("jawOpen", "mouthSmileLeft", "mouthSmileRight")
    assert model.expression_unit == "action"
    assert model.n_vertices == 24591, "shells around the eyes and lashes are left out"
    assert model.region_names[int(model.regions[17039])] == "teeth"
    assert model.uv[LANDMARKS[0]].tolist() in ([0.25, 0.75], [0.5, 0.5])


def test_a_missing_identity_or_neutral_mesh_is_one_line(tmp_path: Path) -> None:
    folder = ict(tmp_path / "FaceXModel")
    (folder / "identity000.obj").rename(folder / "identity002.obj")
    with pytest.raises(FaceModelError, match=r"identity000\.obj is missing"):
        load_face_model(str(folder))
    (folder / "mouthSmile_L.obj").unlink()
    (folder / "identity002.obj").rename(folder / "identity000.obj")
    (folder / "identity001.obj").write_text("v 1 2\n", "utf-8")
    with pytest.raises(FaceModelError, match="no OBJ file as ICT-FaceKit"):
        load_face_model(str(folder))
    (folder / "identity001.obj").unlink()
    with pytest.raises(FaceModelError, match=r"cannot read .*mouthSmile_L\.obj.*github\.com/ICT-VGL"):
        load_face_model(str(folder))
    (folder / "generic_neutral_mesh.obj").unlink()
    with pytest.raises(FaceModelError, match="not ICT-FaceKit's FaceXModel"):
        load_face_model(str(folder))


def test_gnm_with_its_jaw_put_in_order(tmp_path: Path) -> None:
    model = load_face_model(str(gnm(tmp_path)))
    assert_is_head(model)
    assert (model.id, model.licence, model.expression_unit) == ("gnm-head-3.0/1", "Apache-2.0", "sigma")
    assert model.expression_names[0] == "lower_face_region_0"
    assert model.region_names == ("head", "tongue")
    found = model.landmarks(model.mean[None], torch.eye(3)[None])[0]
    wanted = model.mean[torch.from_numpy(head().marks)]
    assert (found[17:] - wanted[17:]).norm(dim=1).max() < 1e-6
    assert (model.jaw_vertices[:, 0, 0].numpy() == head().marks[:17]).all(), "right ear, chin, left ear"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": np.array("4.0")}, "GNM version 4.0; this loader knows version 3"),
        ({"vertex_identity_basis": None}, "no vertex_identity_basis"),
        ({"expression_basis": np.zeros((3, 9, 3))}, "do not fit"),
    ],
)
def test_another_npz_or_version_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FaceModelError, match=message):
        load_face_model(str(gnm(tmp_path, **change)))


def test_a_pickled_npz_is_refused(tmp_path: Path) -> None:
    path = gnm(tmp_path, version=np.array(["3.0", None], dtype=object))
    with pytest.raises(FaceModelError, match="no npz of plain arrays"):
        load_face_model(str(path))


def test_gnm_without_its_landmarks_names_the_file(tmp_path: Path) -> None:
    path = gnm(tmp_path)
    kept = (tmp_path / "head_sparse_68.txt").rename(tmp_path / "points.txt")
    with pytest.raises(FaceModelError, match=r"put head_sparse_68\.txt beside gnm_head\.npz"):
        load_face_model(str(path))
    assert load_face_model(str(path), str(kept)).n_shape == 4


@pytest.mark.parametrize(
    "text", ["", "1\n2\n", "\n".join(["1 0.5 2 0.6 3 0.5"] * 68), "69 = 4", "1.5\n" * 68]
)
def test_a_wrong_landmark_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "points.txt").write_text(text, "utf-8")
    with pytest.raises(FaceModelError, match="no file of 68 landmarks") as caught:
        read_landmarks(tmp_path / "points.txt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.mat", "missing.safetensors", "face.xyz", "folder"])
def test_what_is_no_face_model_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "face.xyz").write_text("1 2 3", "utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FaceModelError, match="a face model is 'bundled'"):
        load_face_model(str(tmp_path / name))


@pytest.fixture(scope="module")
def real_ict(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    """Three identities and all expressions of the real ICT-FaceKit."""
    archive = shared_dir / "data" / "ict_facekit_50.tar.xz"
    if not archive.is_file():
        pytest.skip("needs ict_facekit_50.tar.xz in the developers' data folder")
    folder = tmp_path_factory.mktemp("ict")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            identity = name.startswith("identity") and name > "identity002.obj"
            if member.isfile() and "FaceXModel" in member.name and not identity:
                tar.extract(member, folder, filter="data")
    return load_face_model(str(folder / "ICT-FaceKit"))


def test_the_real_ict_facekit(real_ict: FaceModel) -> None:
    assert (real_ict.n_shape, real_ict.n_expression, real_ict.n_vertices) == (3, 53, 24591)
    points = real_ict.landmarks(real_ict.mean[None], torch.eye(3)[None])[0].numpy()
    off = 1e3 * np.linalg.norm(points - reference_landmarks(), axis=1)
    assert np.median(off[17:]) < 6 and off[17:].max() < 12, "where a face has its landmarks, to a few mm"
    # Its own eyes are 63 mm apart to a tenth of a per cent.
    assert "scaled by 0.9998" in real_ict.conversion
    opened = torch.zeros(1, 53)
    opened[0, real_ict.expression_names.index("jawOpen")] = 1
    moved = real_ict.landmarks(real_ict.vertices(torch.zeros(1, 3), opened), torch.eye(3)[None])[0].numpy()
    assert points[8, 1] - moved[8, 1] > 0.02, "the chin drops"
    blink = real_ict.expression_basis[real_ict.expression_names.index("eyeBlinkLeft")].norm(dim=-1)
    assert float((blink * real_ict.mean[:, 0]).sum() / blink.sum()) > 0.02, "left is the subject's left"
