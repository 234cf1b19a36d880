"""Albedo that is learned from photos: what these show beyond their reconstructions, and none of it where no face is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from facegpt.model.modeling import trunk_of
from facegpt.model.tower.point_fit import PointFit
from facegpt.morphable import FaceModel, Theta, bundled
from facegpt.morphable.face_area import Skin
from facegpt.morphable.mirror import Mirror
from facegpt.rendering import linear_to_srgb, render
from facegpt.synthetic.sampling import sample_face, stack
from facegpt.synthetic.variants import light
from facegpt.training.albedo.learn import carry_over, learn_albedo
from facegpt.training.albedo.modes import Modes, symmetric_modes
from tests.support.tiny_model import conv_model

COUNT = 48
STRENGTH = 0.5


def spot(x: float, y: float, radius: float) -> Tensor:
    """A soft spot on both halves of the mean face, (V,) in 0..1."""
    mean = bundled().mean
    away = (mean[:, 0].abs() - x) ** 2 + (mean[:, 1] - y) ** 2
    return torch.exp(-away / radius**2) * (mean[:, 2] > 0)


MEAN = -0.3 * spot(0.0, 0.035, 0.015)
MODE = spot(0.035, -0.045, 0.020)


def learned_from(mean: Tensor, mode: Tensor) -> tuple[FaceModel, Modes]:
    """From faces whose albedo is `1 + mean + strength * mode` times what their reconstructions say."""
    rng, model = np.random.default_rng(3), bundled()
    theta = stack([sample_face(rng, model, without=("turns",)) for _ in range(COUNT)])
    theta.lighting = torch.from_numpy(np.stack([light(0.8 + 0.01 * i) for i in range(COUNT)]))
    theta.expression = torch.zeros_like(theta.expression)
    theta.rotation_vector = 0.3 * theta.rotation_vector
    strength = torch.from_numpy(rng.normal(size=COUNT)).float() * STRENGTH
    pictures = []
    for face in range(COUNT):
        real = copy.deepcopy(model)
        own = model.albedo(theta.albedo[face : face + 1])[0]
        real.albedo_mean = own * (1 + mean + strength[face] * mode)[:, None]
        plain = theta[face : face + 1]
        plain.albedo = torch.zeros_like(plain.albedo)
        pictures.append(linear_to_srgb(render(real, plain, 112).image.clamp(0, 1)))
    return learn_albedo(model, theta, torch.cat(pictures), count=3, keep=20, name="spotted/1")


@pytest.fixture(scope="module")
def learned() -> tuple[FaceModel, Modes]:
    """All have a darker forehead, and darker or lighter cheeks, than their reconstructions say."""
    return learned_from(MEAN, MODE)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_the_first_mode_is_what_tells_the_faces_apart(learned: tuple[FaceModel, Modes]) -> None:
    skin, modes = Skin(bundled()), learned[1]
    face = skin.weight > 0.9
    assert abs(correlation(modes.modes[0][face], MODE[face])) > 0.9
    assert 0.7 * STRENGTH < float(modes.modes[0].abs().max()) < 1.3 * STRENGTH
    assert modes.modes[0].square().sum() > 1.5 * modes.modes[1].square().sum()


def test_the_mean_is_what_they_share(learned: tuple[FaceModel, Modes]) -> None:
    """Against faces just as reconstructed: these teach a little, too, as an overall factor may be light or albedo."""
    nothing = learned_from(torch.zeros_like(MEAN), torch.zeros_like(MODE))[1].mean
    told = learned[1].mean - nothing
    face = Skin(bundled()).weight > 0.99
    forehead, elsewhere = spot(0.0, 0.035, 0.006) > 0.5, face & (MEAN > -0.003)
    assert -0.33 < told[forehead].mean() < -0.15
    assert told[elsewhere].abs().mean() < 0.01
    assert nothing[face].abs().mean() < 0.1


def test_the_face_model_has_old_and_new_modes(learned: tuple[FaceModel, Modes]) -> None:
    before, (after, modes) = bundled(), learned
    assert (after.n_albedo, after.id) == (23, "spotted/1") and len(after.sha256) == 64
    assert torch.equal(after.shape_basis, before.shape_basis)
    Mirror(after)
    assert (after.albedo_examples.std(0) - 1).abs().max() < 0.1
    back = Skin(before).weight == 0
    torch.testing.assert_close(after.albedo_mean[back], before.albedo_mean[back], atol=1e-3, rtol=0)
    assert after.albedo_basis[20:, back].abs().max() == 0
    partner = Skin(before).partner
    for mode in modes.modes:
        assert torch.allclose(mode[partner], mode, atol=1e-5) or torch.allclose(
            mode[partner], -mode, atol=1e-5
        )


def test_light_skin_varies_more_than_dark_skin(learned: tuple[FaceModel, Modes]) -> None:
    """The learned modes are added, and seen as factors they have to be alike."""
    after, cheeks = learned[0], Skin(bundled()).cheeks
    lightness = after.albedo(torch.cat([after.albedo_examples[:, :20], torch.zeros(2048, 3)], 1))[
        :, cheeks
    ].mean((1, 2))
    order = lightness.argsort()
    drawn = after.albedo_examples[:, 20:].square().mean(1)
    assert drawn[order[:500]].mean() < 0.5 * drawn[order[-500:]].mean()


def test_more_modes_than_faces_are_refused() -> None:
    skin = Skin(bundled())
    nothing = torch.zeros(2, bundled().n_vertices)
    with pytest.raises(ValueError, match="3 modes want as many faces at least, and there are 2"):
        symmetric_modes(nothing, nothing, skin, 3)


def test_a_model_without_a_head_cannot_learn() -> None:
    other = copy.deepcopy(bundled())
    other.region_names = ("skin", *other.region_names[1:])
    with pytest.raises(ValueError, match="has no region head"):
        learn_albedo(other, Theta(*(torch.zeros(1, 1) for _ in range(6))), torch.zeros(1, 3, 8, 8), 1, 1, "x")


def test_a_checkpoint_carried_over_says_what_it_said_and_of_new_modes_what_the_fit_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A random model finds random points, and no head is turned as these would have it.
    monkeypatch.setattr(PointFit, "rotation", lambda _, features: torch.eye(3).expand(len(features), -1, -1))
    model, before = conv_model(), bundled()
    after = copy.deepcopy(before)
    after.id, after.sha256 = "other/1", "ff" * 32
    picture = torch.rand(2, 3, model.config.crop_size, model.config.crop_size)
    carried = carry_over(model, before, after, 24)
    said, now = trunk_of(model)(picture).guess, trunk_of(carried)(picture).guess
    first = before.n_shape + before.n_expression
    new = slice(first + 24, first + before.n_albedo)
    keep = torch.ones(said.shape[1], dtype=torch.bool)
    keep[new] = False
    torch.testing.assert_close(now[:, keep], said[:, keep])
    fit = trunk_of(carried).albedo
    assert fit is not None and now[:, new].abs().max() > 0
    with torch.no_grad():
        fit.gain.zero_()
    assert trunk_of(carried)(picture).guess[:, new].abs().max() == 0
    assert (carried.config.face_model_id, carried.config.face_model_sha256) == ("other/1", "ff" * 32)
    assert model.config.face_model_id != "other/1", "the model that was carried over stays as it was"
    again = carry_over(carried, after, before, 24)
    torch.testing.assert_close(trunk_of(again)(picture).guess, now, msg="it may be carried over once more")


def test_a_checkpoint_is_not_carried_to_another_shape(learned: tuple[FaceModel, Modes]) -> None:
    with pytest.raises(ValueError, match="differ in n_albedo"):
        carry_over(conv_model(), bundled(), learned[0], 20)
