"""The light that a fit finds, and what a reconstruction gains in it over the mean face."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegpt.evaluation.photometric import lit_fit
from facegpt.morphable import Theta, bundled
from facegpt.rendering import fit_light, linear_to_srgb, render, sh_basis
from facegpt.synthetic.sampling import sample_face, stack
from facegpt.synthetic.variants import light


@pytest.fixture(scope="module")
def drawn() -> tuple[Theta, torch.Tensor]:
    """Three faces in light that clips nothing, and their pictures as the renderer draws them."""
    rng = np.random.default_rng(5)
    theta = stack([sample_face(rng, bundled()) for _ in range(3)])
    theta.lighting = torch.from_numpy(np.stack([light(0.8), light(0.6, 1.0), light(0.7, -1.0)]))
    return theta, linear_to_srgb(render(bundled(), theta, 64).image)


def test_the_fit_finds_the_light_that_was_there() -> None:
    random = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(200, 3, generator=random), dim=-1)
    albedo = 0.2 + 0.6 * torch.rand(200, 3, generator=random)
    lighting = torch.randn(9, 3, generator=random)
    response = sh_basis(normals)[..., None] * albedo[:, None]
    found = fit_light(response, torch.einsum("pkc,kc->pc", response, lighting))
    torch.testing.assert_close(found.float(), lighting, atol=1e-4, rtol=1e-4)


def test_the_truth_draws_the_picture_again_in_whatever_light_it_is_told(
    drawn: tuple[Theta, torch.Tensor],
) -> None:
    theta, pixels = drawn
    told = Theta(**{**vars(theta), "lighting": torch.zeros_like(theta.lighting)})
    fit = lit_fit(bundled(), told, pixels)
    assert fit.own.min() > 35, "what is left are pixels darker than black or brighter than white"
    assert fit.gain.min() > 5


def test_the_mean_face_gains_nothing_over_itself(drawn: tuple[Theta, torch.Tensor]) -> None:
    theta, pixels = drawn
    zero = torch.zeros_like
    mean = Theta(
        zero(theta.shape),
        zero(theta.expression),
        zero(theta.albedo),
        theta.lighting,
        theta.rotation_vector,
        theta.translation,
    )
    assert torch.equal(lit_fit(bundled(), mean, pixels).gain, torch.zeros(3, dtype=torch.float64))


def test_a_face_outside_the_picture_has_no_figure(drawn: tuple[Theta, torch.Tensor]) -> None:
    theta, pixels = drawn
    away = Theta(**{**vars(theta), "translation": theta.translation + torch.tensor([5.0, 0.0, 0.0])})
    assert torch.isnan(lit_fit(bundled(), away, pixels).own).all()
