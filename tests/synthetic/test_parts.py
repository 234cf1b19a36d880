"""Rendered faces without one of their parts: that part is gone, and all else is as it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from facegpt.morphable import bundled
from facegpt.synthetic.faces import SyntheticFaces, render_faces
from facegpt.synthetic.parts import PARTS
from facegpt.training.config import TrainConfig
from facegpt.training.config.sections import RenderingConfig
from facegpt.training.data.shard_cache import store_of

COUNT = 32
MOVES_FACES = {"coloured light", "jitter", "turns"}


@cache
def faces(*without: str) -> SyntheticFaces:
    return render_faces(bundled(), seed=11, count=COUNT, size=112, without=without)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_left_out_changes_pictures_and_no_other_parameter(part: str) -> None:
    whole, bare = faces(), faces(part)
    changed = (whole.images != bare.images).reshape(COUNT, -1).any(1)
    assert changed.any()
    for block in ("shape", "expression", "albedo"):
        assert torch.equal(getattr(whole.theta, block), getattr(bare.theta, block))
    if part not in MOVES_FACES:
        assert torch.equal(whole.theta.flat(), bare.theta.flat())


def test_without_things_in_front_less_is_covered() -> None:
    bare = faces("hair", "hat", "glasses", "occluder")
    assert faces().covered.max() > 0.1
    assert bare.covered.max() == 0


def test_without_coloured_light_all_lights_are_white() -> None:
    colours = faces("coloured light").theta.lighting.view(-1, 9, 3)
    assert torch.equal(colours, colours[..., :1].expand(-1, -1, 3))


def test_without_perspective_the_camera_stands_where_theta_says() -> None:
    assert np.ptp(faces().perspective) > 0.3
    assert (faces("perspective").perspective == 1).all()


def test_without_turns_heads_look_ahead() -> None:
    facing = [many.theta.rotation[:, 2, 2].min() for many in (faces(), faces("turns"))]
    assert facing[0] < 0.6 < facing[1]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot render without beards; what can be left out: hair, hat"):
        TrainConfig.of({"output": "out", "rendering": {"without": ["hair", "beards"]}})


def test_other_parts_other_shards() -> None:
    plain, bare, both = (
        store_of(RenderingConfig(folder="cache", without=parts), 112, bundled())
        for parts in ((), ("hair",), ("hair", "coloured light"))
    )
    assert plain.folder == Path("cache")
    assert bare.folder == Path("cache/without-hair")
    assert both.folder == Path("cache/without-coloured-light-hair")
