"""Albedo and light are told apart in a picture of a face laid flat, also where something lies in front."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.model.tower.albedo_fit import AlbedoFit
from facegpt.rendering import linear_to_srgb, sh_basis
from facegpt.synthetic.variants import light

SIDE, MODES, FACES = 24, 4, 6


def made() -> tuple[AlbedoFit, Tensor, Tensor, Tensor]:
    """A fit whose cells look all over the front, coefficients (B,A), pictures (B,3,S,S) of them and rotations."""
    random = torch.Generator().manual_seed(0)
    fit = AlbedoFit(MODES, SIDE)
    fit.skin.fill_(1.0)
    fit.normals.copy_(
        nn.functional.normalize(torch.randn(SIDE**2, 3, generator=random) + torch.tensor([0, 0, 2.5]))
    )
    fit.mean.copy_(0.2 + 0.1 * torch.rand(SIDE**2, generator=random))
    fit.basis.copy_(0.06 * torch.randn(MODES, SIDE**2, generator=random))
    fit.lightness.copy_(torch.tensor([0.2, 0.0, 0.0, 0.0]))
    known = torch.randn(FACES, MODES, generator=random)
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0], [-0.3, 0.0, 0.0]]))
    lit = torch.stack(
        [torch.from_numpy(light(0.8, 0.2 * i)).unflatten(0, (9, 3))[:, 1] for i in range(FACES)]
    )
    received = torch.einsum("cb,nb->nc", sh_basis(fit.normals @ turn.T), lit).clamp(min=0.02)
    linear = (fit.mean + known @ fit.basis).clamp(0.01, 1) * received
    pictures = linear_to_srgb(linear).unflatten(1, (SIDE, SIDE))[:, None].expand(-1, 3, -1, -1)
    return fit, known, pictures, turn.expand(FACES, -1, -1)


def error(found: Tensor, known: Tensor) -> float:
    return float((found - known).abs().mean() / known.abs().mean())


def test_the_fit_finds_the_albedo_that_was_there() -> None:
    fit, known, pictures, turn = made()
    assert error(fit(pictures, turn), known) < 0.2


def test_what_lies_in_front_is_left_out() -> None:
    fit, known, pictures, turn = made()
    hidden = pictures.clone()
    hidden[:, :, 8:12, 2:22] = 0.05
    found = fit(hidden, turn)
    assert error(found, known) < 0.3
    assert torch.isfinite(fit(torch.zeros_like(pictures), turn)).all(), "also where there is nothing to see"


def test_what_is_added_counts_for_the_skin_that_is_guessed() -> None:
    fit, known, _, _ = made()
    with torch.no_grad():
        fit.gain.fill_(0.5)
    guess = torch.zeros(FACES, MODES)
    torch.testing.assert_close(fit.added(known, guess), 0.5 * known)
    guess[:, 0] = 2.0
    torch.testing.assert_close(fit.added(known, guess), 0.7 * known)
    guess[:, 0] = -9.0
    torch.testing.assert_close(fit.added(known, guess), 0.05 * known, msg="dark skin is still skin")
