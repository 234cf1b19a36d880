"""What counts as found when detectors are compared."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detectors.photos import SCENE, Photo, held, scenes
from facegpt.photo.detectors import Detection


def test_a_face_is_found_if_both_boxes_hold_each_others_middle() -> None:
    small, large = np.array([[10.0, 10, 20, 20]]), Detection((0.0, 0.0, 100.0, 100.0), 0.9)
    fitting = Detection((9.0, 9.0, 22.0, 22.0), 0.8)
    assert held([large], small) == [None]
    assert held([large, fitting], small) == [fitting]
    assert held([large, fitting], np.array([[40.0, 40, 60, 60], [12.0, 12, 20, 20]])) == [large, fitting]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_boxes_turn_with_their_photo(turns: int) -> None:
    pixels = np.zeros((30, 20, 3), np.uint8)
    pixels[4:10, 3:8] = 255
    turned = Photo("", pixels, np.array([[3.0, 4, 7, 9]])).turned(turns)
    ((x0, y0, x1, y1),) = turned.boxes.astype(int).tolist()
    assert turned.pixels[y0 : y1 + 1, x0 : x1 + 1].min() == 255
    assert turned.pixels.sum() == turned.pixels[y0 : y1 + 1, x0 : x1 + 1].sum()


def test_a_scene_holds_the_face_in_the_size_that_is_asked_for() -> None:
    face = np.full((80, 80, 3), 10, np.uint8)
    face[20:61, 30:71] = 250
    one = Photo("a", face, np.array([[30.0, 20, 70, 60]]))
    pair = Photo("b", face, np.repeat(one.boxes, 2, axis=0))
    background = Photo("noface", np.full((50, 60, 3), 128, np.uint8), np.empty((0, 4)))
    (scene,) = scenes([one, pair], [background], 20)
    assert scene.pixels.shape == (SCENE[1], SCENE[0], 3)
    x0, y0, x1, y1 = scene.boxes[0]
    assert (x1 - x0, y1 - y0) == (20, 20)
    assert scene.pixels[round(y0) + 2 : round(y1) - 1, round(x0) + 2 : round(x1) - 1].min() > 240
    assert scene.pixels[0, -1, 0] == 128
