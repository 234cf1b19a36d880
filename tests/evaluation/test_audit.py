"""Twins that differ in one thing, and errors that follow from it alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegpt.evaluation import audit as room
from facegpt.evaluation.audit import MEASURES, audit, contrasts
from facegpt.morphable import Theta, bundled, directions
from facegpt.morphable.directions import sex_linked_shape
from facegpt.rendering import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_euler, sh_basis
from facegpt.synthetic.faces import SyntheticFaces, render_samples
from facegpt.synthetic.sampling import FaceSample, sample_face, stack
from facegpt.synthetic.variants import SkinTone, light, with_shape_along, with_yaw

BLOCKS = ("shape", "expression", "albedo", "lighting", "rotation_vector", "translation", "perspective")


def sample(seed: int = 0) -> FaceSample:
    return sample_face(np.random.default_rng(seed), bundled())


def changed(before: FaceSample, after: FaceSample) -> set[str]:
    return {name for name in BLOCKS if not np.array_equal(getattr(before, name), getattr(after, name))}


def test_the_truth_has_no_error_and_no_change() -> None:
    found = audit(lambda faces: faces.theta, bundled(), count=2, seed=3, size=112)
    assert len(found) == 6
    for values in found.values():
        assert values["faces"] == 2
        assert [
            abs(values[f"{name}{end}"]) for name in MEASURES for end in ("", "_change", "_change_se")
        ] == (pytest.approx([0] * 9, abs=1e-3))


def test_a_predictor_that_is_wrong_about_dark_pictures_alone_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors of 10 and 13 degrees on two faces, in the dim light alone: a change of 11.5 with an error of 1.5."""
    dim = [one for one in contrasts(bundled()) if "quarter" in one.name]
    monkeypatch.setattr(room, "contrasts", lambda _: dim)

    def predict(faces: SyntheticFaces) -> Theta:
        truth = faces.theta
        if truth.lighting[0, 0] > 2:
            return truth
        angles = torch.deg2rad(torch.tensor([10.0, 13.0]))[:, None] * torch.tensor([[0.0, 0.0, 1.0]])
        turned = axis_angle_to_matrix(angles) @ truth.rotation
        return Theta(**{**vars(truth), "rotation_vector": matrix_to_axis_angle(turned)})

    (values,) = audit(predict, bundled(), count=2, seed=3, size=112).values()
    assert values["rotation_deg"] == pytest.approx(0, abs=1e-3)
    assert values["rotation_deg_change"] == pytest.approx(11.5, abs=1e-2)
    assert values["rotation_deg_change_se"] == pytest.approx(1.5, abs=1e-2)
    assert values["surface_mm_change"] == pytest.approx(0, abs=1e-6)
    assert values["nme_percent_change"] > 1


def test_a_setting_changes_its_own_block_alone() -> None:
    blocks = {
        "skin": {"albedo"},
        "light": {"lighting"},
        "pose": {"rotation_vector", "translation"},
        "sex-linked": {"shape"},
    }
    drawn = sample()
    for contrast in contrasts(bundled()):
        own = next(names for start, names in blocks.items() if contrast.name.startswith(start))
        for setting in (contrast.first, contrast.second):
            assert changed(drawn, setting(drawn, 1)) == own, contrast.name


def test_a_model_without_the_direction_is_audited_on_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "audit.json"
    other.write_text(json.dumps({"face_model_sha256": "another", "sex_linked_shape": []}), encoding="utf-8")
    monkeypatch.setattr(directions, "DIRECTIONS", other)
    names = [contrast.name for contrast in contrasts(bundled())]
    assert len(names) == 5 and not any("sex" in name for name in names)


def test_a_tone_is_what_it_was_set_to_and_leaves_eyes_and_hair() -> None:
    model = bundled()
    tone = SkinTone(model)
    low, high = (float(np.quantile(tone.examples, q)) for q in (0.1, 0.9))
    darker, lighter = (tone.set(sample(), value) for value in (low, high))
    assert tone.of(darker.albedo) == pytest.approx(low, abs=1e-4)
    assert tone.of(lighter.albedo) == pytest.approx(high, abs=1e-4)
    colours = model.albedo(stack([darker, lighter]).albedo)
    moved = (colours[1] - colours[0]).abs().mean(-1)
    eyes = (model.regions == 1) | (model.regions == 2)
    cheek = (model.mean - torch.tensor([0.03, -0.03, 0.02])).norm(dim=-1).argmin()
    assert moved[cheek] > 5 * moved[eyes].mean()


def test_a_yaw_is_what_it_was_set_to_and_the_face_stays_in_its_place() -> None:
    drawn = sample()
    for wanted in (-60.0, 0.0, 45.0):
        turned = with_yaw(drawn, np.deg2rad(wanted))
        before, after = (stack([one]) for one in (drawn, turned))
        centre = torch.tensor([0.0, -0.038, 0.015])
        places = [theta.rotation[0] @ centre + theta.translation[0] for theta in (before, after)]
        torch.testing.assert_close(*places, atol=1e-5, rtol=1e-4)
        back = with_yaw(with_yaw(drawn, 1.0), np.deg2rad(wanted))
        assert back.rotation_vector == pytest.approx(turned.rotation_vector, abs=1e-4)
    straight = replace(drawn, rotation_vector=np.zeros(3, np.float32))
    right = stack([with_yaw(straight, np.deg2rad(30))])
    # Pose_Para counts to the image's left.
    assert float(matrix_to_euler(right.rotation)[0][0]) == pytest.approx(-30, abs=1e-2)


def test_shape_moves_along_the_direction_alone() -> None:
    along = sex_linked_shape(bundled())
    assert along is not None and along.shape == (80,) and 0.5 < float(along.norm()) < 30
    direction = along.numpy().astype(np.float64)
    low, high = (with_shape_along(sample(), direction, place) for place in (-0.5, 0.5))
    assert high.shape - low.shape == pytest.approx(direction, abs=1e-4)


def test_white_light_is_as_strong_as_it_says_towards_the_camera() -> None:
    ahead = sh_basis(torch.tensor([0.0, 0.0, 1.0]))
    for lighting in (light(0.7), light(0.7, 1.0), light(0.7, -1.0)):
        assert (ahead @ torch.from_numpy(lighting).view(9, 3)).tolist() == pytest.approx([0.7] * 3, abs=1e-3)
    right = sh_basis(torch.tensor([1.0, 0.0, 0.0])) @ torch.from_numpy(light(0.7, 1.0)).view(9, 3)
    assert float(right[0]) > 0.7


def test_twins_share_everything_but_what_was_changed() -> None:
    """The same samples give the same pictures; a change of one face leaves the others' pictures as they were."""
    pair = [sample(1), sample(2)]
    dim = [pair[0], replace(pair[1], lighting=light(0.2))]
    first, again, other = (render_samples(bundled(), some, 9, 112) for some in (pair, pair, dim))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.images[0], other.images[0])
    assert not np.array_equal(first.images[1], other.images[1])
