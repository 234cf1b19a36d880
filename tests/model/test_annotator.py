"""The bundled annotator on rendered faces: it sees pose, speaks, and does not mix faces up."""

from __future__ import annotations

import numpy as np
import pytest

from facegpt.evaluation.geometry import rotation_error
from facegpt.evaluation.rendered import evaluate_rendered
from facegpt.language.captions import parse
from facegpt.model.annotator import FaceAnnotator, sharpness
from facegpt.morphable import Theta, bundled
from facegpt.rendering import render
from facegpt.synthetic.faces import SyntheticFaces, render_faces


@pytest.fixture(scope="module")
def annotator() -> FaceAnnotator:
    return FaceAnnotator.from_pretrained()


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return render_faces(bundled(), 987_654_321, 48, 224)


def test_bundled_checkpoint_beats_the_mean_face_on_rendered_faces(
    annotator: FaceAnnotator, faces: SyntheticFaces
) -> None:
    figures = evaluate_rendered(annotator.checkpoint, annotator.face_model, faces)
    assert figures["rotation_deg"] < 10
    assert figures["nme_percent"] < 9
    assert figures["surface_mse"] < 1
    assert figures["caption_statements_right"] > 0.75


def test_annotations_are_complete_and_in_order(annotator: FaceAnnotator, faces: SyntheticFaces) -> None:
    said = annotator.annotate(faces.images[:8], micro_batch=3)
    assert len(said) == 8
    turns = np.stack([one.rotation for one in said])
    assert rotation_error(turns, faces.theta.rotation[:8].numpy()).median() < 12
    for one in said:
        assert one.landmarks68.shape == (68, 2) and np.isfinite(one.landmarks68).all()
        assert one.camera.tolist() == [1008.0, 111.5, 111.5]
        assert 0 <= one.quality <= 1 and 0 <= one.caption_agreement <= 1
        assert one.caption_status == "ok" and parse(one.caption)


def test_landmarks_are_those_of_the_parameters_in_crop_pixels(
    annotator: FaceAnnotator, faces: SyntheticFaces
) -> None:
    """Faces are drawn smaller than the crop; their landmarks are not."""
    (said,) = annotator.annotate(faces.images[:1])
    theta = Theta.from_annotations([vars(said)])
    drawn = render(annotator.face_model, theta, annotator.crop_size)
    assert np.allclose(said.landmarks68, drawn.landmarks2d[0].numpy(), atol=0.02)


def test_micro_batches_do_not_change_the_answer(annotator: FaceAnnotator, faces: SyntheticFaces) -> None:
    one, many = (annotator.annotate(faces.images[:4], micro_batch=size) for size in (1, 4))
    for a, b in zip(one, many, strict=True):
        assert np.allclose(a.landmarks68, b.landmarks68, atol=0.05) and a.caption == b.caption


def test_captions_that_are_decoded_together_stay_with_their_faces(
    annotator: FaceAnnotator, faces: SyntheticFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = annotator.annotate(faces.images[:11], micro_batch=3)
    monkeypatch.setattr("facegpt.model.annotator.SPOKEN_AT_ONCE_ON_CPU", 1)
    apart = annotator.annotate(faces.images[:11], micro_batch=3)
    assert len({one.caption for one in apart}) > 3
    for a, b in zip(together, apart, strict=True):
        assert a.caption == b.caption and np.array_equal(a.shape, b.shape)
        assert a.caption_agreement == b.caption_agreement and a.quality == b.quality


def test_the_same_crops_give_the_same_numbers_to_the_last_digit(
    annotator: FaceAnnotator, faces: SyntheticFaces
) -> None:
    """A shard that is executed again, after a crash, has the rows that it had."""
    once, again = (annotator.annotate(faces.images[:5]) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert {name: np.asarray(value).tolist() for name, value in vars(a).items()} == {
            name: np.asarray(value).tolist() for name, value in vars(b).items()
        }


def test_wrong_crop_size_is_refused(annotator: FaceAnnotator) -> None:
    with pytest.raises(ValueError, match="the model wants 224 px"):
        annotator.annotate(np.zeros((1, 64, 64, 3), np.uint8))
    assert annotator.annotate(np.zeros((0, 224, 224, 3), np.uint8)) == []


def test_sharpness_falls_with_blur() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    assert sharpness(noise) > 5 * sharpness(np.full((112, 112, 3), 128, np.uint8)) + 0.01
