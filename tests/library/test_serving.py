"""`facegpt.load()`: photos in any form, many at once, questions, descriptions, and what is refused."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import encoded
from numpy.typing import NDArray
from PIL import Image

import facegpt
from facegpt.bundled import BUNDLED_CHECKPOINT

PORTRAIT = "portrait-spacesuit.png"
SOME = ("shape", "expression", "landmarks68", "caption", "quality", "face_px", "yaw_deg")


def same(one: facegpt.Face, other: facegpt.Face) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in SOME)


def test_a_photo_may_be_a_path_bytes_a_picture_or_pixels(
    model: facegpt.FaceGpt, photos: Path, portrait: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photos / PORTRAIT
    monkeypatch.chdir(photos)
    with Image.open(path) as picture:
        forms: list[Any] = [str(path), path, Path(PORTRAIT), path.read_bytes(), picture, portrait]
        results = [model(form) for form in forms]
    assert all(len(faces) == 1 and same(faces[0], results[0][0]) for faces in results)
    assert [faces[0].uri for faces in results] == [str(path)] * 3 + [None] * 3
    assert [(faces.width, faces.height) for faces in results] == [(512, 512)] * 6
    of_file, of_pixels = results[0], results[-1]
    assert [faces.image_id == of_file.image_id for faces in results] == [True] * 4 + [False] * 2
    assert of_pixels.image_id == results[4].image_id == of_pixels[0].image_id
    assert [faces.photo for faces in results[2:]] == [PORTRAIT, "the bytes", "the PIL picture", "the array"]


def test_many_photos_go_through_the_model_together(
    model: facegpt.FaceGpt, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    real = model.annotator.annotate

    def counted(crops: Any, micro_batch: int = 32) -> Any:
        batches.append((len(crops), micro_batch))
        return real(crops, micro_batch)

    monkeypatch.setattr(model.annotator, "annotate", counted)
    names = ("group.jpg", "coffee.png", PORTRAIT)
    group, none, portrait = model([photos / name for name in names])
    assert batches == [(7, 32)]
    assert (len(group), len(none), len(portrait)) == (6, 0, 1) and none.error is None
    alone = model(photos / PORTRAIT)[0]
    assert portrait[0].face_id == alone.face_id and portrait[0].caption == alone.caption
    np.testing.assert_allclose(portrait[0].shape, alone.shape, atol=1e-4)
    assert [face.face_index for face in group] == list(range(6))
    assert model([]) == [] and model(()) == []


def test_one_of_many_that_cannot_be_read_says_so_and_costs_no_other(
    model: facegpt.FaceGpt, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    real = model.finder.detector.detect

    def throws_on_the_cat(rgb: NDArray[np.uint8]) -> Any:
        if rgb.shape[:2] == (300, 451):
            raise RuntimeError("out\nof order")
        return real(rgb)

    monkeypatch.setattr(model.finder.detector, "detect", throws_on_the_cat)
    given: list[Any] = [broken, photos / PORTRAIT, b"text", photos / "cat.png"]
    with pytest.warns(UserWarning, match="is no photo that can be read") as told:
        one, two, three, four = model(given)
    assert [len(faces) for faces in (one, two, three, four)] == [0, 1, 0, 0]
    assert [str(warning.message) for warning in told] == [str(faces.error) for faces in (one, three, four)]
    assert two.error is None and one.error is not None and one.error.photo == str(broken)
    assert str(three.error).startswith("photo 2 (bytes) is no photo that can be read: not an image")
    assert str(four.error).endswith("cat.png is no photo that can be read: RuntimeError: out of order")
    assert four.error is not None and isinstance(four.error.__cause__, RuntimeError)


def test_a_photo_that_cannot_be_read_is_one_error_that_names_it(
    model: facegpt.FaceGpt, tmp_path: Path
) -> None:
    small = encoded(Image.new("RGB", (20, 50)))
    (tmp_path / "small.png").write_bytes(small)
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html>")
    cases: list[tuple[Any, str]] = [
        (tmp_path / "none.jpg", f"{tmp_path}/none.jpg is no photo that can be read: No such file"),
        (tmp_path, f"{tmp_path} is no photo that can be read: Is a directory"),
        (tmp_path / "small.png", "20 x 50 px: a side is below 32 px"),
        (str(tmp_path / "page.jpg"), "an HTML page, not an image"),
        ("s3://bucket/photo.jpg", "the library reads local files"),
        (b"", "the bytes is no photo that can be read: the file is empty"),
        (Image.open(io.BytesIO(small)), "the PIL picture is no photo that can be read: 20 x 50 px"),
        (np.zeros((64, 64), np.uint8), "where uint8 (height, width, 3) in RGB is wanted"),
        (np.zeros((64, 64, 3)), "an array of float64"),
    ]
    for photo, words in cases:
        with pytest.raises(facegpt.PhotoError) as caught:
            model(photo)
        assert words in str(caught.value) and "\n" not in str(caught.value)
        with pytest.raises(facegpt.PhotoError):
            model.ask(photo, "is the mouth open")
    for other in (7, None, {"photo": b""}):
        with pytest.raises(TypeError, match="a photo is a path, bytes, a PIL picture or a uint8 RGB array"):
            model(other)  # type: ignore[call-overload]


def test_the_bounds_of_decoding_hold(photos: Path) -> None:
    data = (photos / PORTRAIT).read_bytes()
    for bounds, words in (
        ({"max_bytes": 1000}, r"larger than 1,000 bytes \(decode\.max_bytes\)"),
        ({"max_pixels": 1000}, r"decode\.max_pixels"),
        ({"min_side": 600}, r"decode\.min_side"),
    ):
        model = facegpt.FaceGpt(device="cpu", detector="null", decode=facegpt.DecodeConfig(**bounds))
        for photo in (data, photos / PORTRAIT):
            with pytest.raises(facegpt.PhotoError, match=words):
                model(photo)


def test_numbers_that_are_not_finite_are_no_face(
    model: facegpt.FaceGpt, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegpt.library.serving.is_finite", lambda annotation: False)
    with pytest.raises(facegpt.PhotoError, match="gave numbers that are not finite"):
        model(photos / PORTRAIT)


def test_questions_are_answered_for_every_face(model: facegpt.FaceGpt, photos: Path) -> None:
    answers = model.ask(photos / "group.jpg", " Is the mouth open? ")
    faces = model(photos / "group.jpg")
    assert [answer.face_id for answer in answers] == [face.face_id for face in faces]
    assert all(str(answer) == answer.text in ("Yes.", "No.") for answer in answers)
    np.testing.assert_allclose(answers[3].box_xyxy, faces[3].box_xyxy)
    assert model.ask(photos / "coffee.png", "is the mouth open") == []
    with pytest.raises(ValueError, match="the question is empty"):
        model.ask(photos / PORTRAIT, " ? ")


def test_faces_are_imagined_and_the_same_ones_again(model: facegpt.FaceGpt) -> None:
    faces = model.imagine("broad smile, looking left", count=3, seed=5)
    assert [face.seed for face in faces] == [5, 6, 7]
    again = model.imagine("broad smile, looking left", count=1, seed=6)[0]
    np.testing.assert_allclose(again.theta.flat(), faces[1].theta.flat(), atol=1e-4)
    assert abs(faces[0].theta.shape - faces[1].theta.shape).max() > 0.05
    mesh = faces[0].mesh()
    assert len(mesh.vertices) == model.face_model.n_vertices and mesh.visual.vertex_colors.std() > 1
    with pytest.raises(ValueError, match="count is at least 1"):
        model.imagine("a smile", count=0)
    with pytest.raises(ValueError, match="an empty description"):
        model.imagine("  ")


def test_what_cannot_be_loaded_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"path": tmp_path}, "is not a FaceGPT checkpoint"),
        ({"path": tmp_path / "none"}, "no checkpoint folder at"),
        ({"face_model": tmp_path / "none.safetensors"}, "no face model at"),
        ({"detector": "dlb"}, "did you mean 'dlib'"),
        ({"detector": facegpt.DetectorConfig(name="yunet", model="/no/such.onnx")}, "/no/such.onnx"),
    ]
    for arguments, words in cases:
        with pytest.raises(facegpt.LoadError, match=words):
            facegpt.load(device="cpu", **arguments)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(facegpt.LoadError, match="torch finds no GPU"):
        facegpt.load(device="cuda")
    with pytest.raises(ValueError, match="device is one of auto, cpu, cuda"):
        facegpt.load(device="gpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="micro_batch is at least 1"):
        facegpt.load(micro_batch=0)
    assert facegpt.FaceGpt(device="auto").device == "cpu"


def test_a_checkpoint_of_another_face_model_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(BUNDLED_CHECKPOINT, folder)
    config = folder / "config.json"
    text = config.read_text("utf-8")
    config.write_text(text.replace('"face_model_sha256": "', '"face_model_sha256": "0'), "utf-8")
    with pytest.raises(facegpt.LoadError, match=f"{folder} was trained on another face model than anny-head"):
        facegpt.load(folder, device="cpu")
