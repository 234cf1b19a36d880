"""Regions of the bundled face: each has the vertices that it always had, on both sides of the face alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from facegpt.morphable import FaceModel, bundled
from facegpt.morphable import face_area as areas


@pytest.mark.parametrize(
    ("area", "vertices"),
    [
        (areas.skin_of_head, 3260),
        (areas.eye_fronts, 1154),
        (areas.loss_area, 1872),
        (areas.anchor_area, 1955),
        (areas.photometric_area, 3026),
        (areas.measured_area, 4221),
        (areas.tone_cheeks, 30),
        (areas.albedo_cheeks, 62),
    ],
)
def test_a_region_keeps_its_vertices(area: Callable[[FaceModel], Tensor], vertices: int) -> None:
    """Losses, figures and rendered faces depend on each of them: another count is another measure."""
    model = bundled()
    chosen = area(model)
    assert int(chosen.sum()) == vertices
    assert int((chosen & (model.mean[:, 0] > 1e-6)).sum()) == int((chosen & (model.mean[:, 0] < -1e-6)).sum())


def test_what_losses_see_is_skin_and_eyes() -> None:
    model = bundled()
    skin = areas.skin_of_head(model)
    for area in (areas.loss_area, areas.anchor_area, areas.albedo_cheeks):
        assert bool((area(model) <= skin).all())
    assert bool((areas.photometric_area(model) <= (skin | areas.eye_fronts(model))).all())


def test_a_region_that_a_model_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        areas.region(bundled(), "hat")


def test_what_the_bundled_model_was_baked_with() -> None:
    mean, regions = bundled().mean.numpy(), bundled().regions.numpy()
    weights = areas.component_weights(mean, regions)
    assert np.unique(weights, return_counts=True)[1].tolist() == [2643, 3103]
    assert int(areas.slider_area(mean, regions).sum()) == 1947


def test_learned_albedo_fades_towards_the_hair_and_stays_on_the_face() -> None:
    model = bundled()
    skin = areas.Skin(model)
    assert float(skin.weight.sum()) == pytest.approx(3070.5569, abs=1e-2)
    assert bool((skin.weight[skin.cheeks] == 1).all())
    assert torch.equal(skin.weight[model.mean[:, 1] > 0.075].unique(), torch.zeros(1))
