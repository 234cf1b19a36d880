"""The likeness of a crop and of what theta draws: high for a face's own crop, however many are drawn at a time."""

from __future__ import annotations

import pytest
import torch

from facegpt.model import likeness as room
from facegpt.model.likeness import DRAWN_SIDE, likeness
from facegpt.morphable import bundled
from facegpt.rendering import linear_to_srgb, render
from facegpt.rendering.psnr import psnr
from facegpt.synthetic.faces import SyntheticFaces, render_faces


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return render_faces(bundled(), 135_791, 11, 224)


def pixels(faces: SyntheticFaces) -> torch.Tensor:
    return torch.from_numpy(faces.images).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def test_it_is_that_of_the_whole_picture(faces: SyntheticFaces) -> None:
    decibels, points = likeness(bundled(), faces.theta, pixels(faces))
    drawn = render(bundled(), faces.theta, DRAWN_SIDE)
    reduced = torch.nn.functional.adaptive_avg_pool2d(pixels(faces), DRAWN_SIDE)
    whole = psnr(linear_to_srgb(drawn.image), reduced, drawn.mask)
    torch.testing.assert_close(decibels, whole, atol=1e-3, rtol=1e-4)
    at_full_size = render(bundled(), faces.theta, 224).landmarks2d
    torch.testing.assert_close(points, at_full_size, atol=0.02, rtol=0)


@torch.inference_mode()
def test_a_face_is_most_like_its_own_crop(faces: SyntheticFaces) -> None:
    drawn = linear_to_srgb(
        render(bundled(), faces.theta, 224).over(torch.full((len(faces.theta), 3, 224, 224), 0.5))
    )
    own, _ = likeness(bundled(), faces.theta, drawn)
    other, _ = likeness(bundled(), faces.theta, drawn.roll(1, 0))
    assert (own > 25).all() and (own > other + 3).all()


@torch.inference_mode()
def test_faces_drawn_together_or_alone_are_equally_like(
    faces: SyntheticFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = likeness(bundled(), faces.theta, pixels(faces))
    monkeypatch.setattr(room, "AT_ONCE_ON_CPU", 1)
    for one, many in zip(likeness(bundled(), faces.theta, pixels(faces)), together, strict=True):
        torch.testing.assert_close(one, many, atol=1e-3, rtol=1e-4)


@torch.inference_mode()
def test_crops_of_other_sizes() -> None:
    """Of a size that is no multiple of the drawn one, and of a smaller one."""
    for side in (150, 64):
        faces = render_faces(bundled(), 135_791, 2, side)
        drawn = linear_to_srgb(render(bundled(), faces.theta, side).over(torch.full((2, 3, side, side), 0.5)))
        decibels, points = likeness(bundled(), faces.theta, drawn)
        assert (decibels > 20).all()
        torch.testing.assert_close(
            points, render(bundled(), faces.theta, side).landmarks2d, atol=0.02, rtol=0
        )
